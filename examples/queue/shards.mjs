// What the two sides of the queue have to agree on.
import { parseArgs } from 'node:util';

export const queueName = 'speccascade';

/** Where Redis is, as BullMQ takes it. */
export function redis() {
  return { url: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' };
}

/** Options of a command line and its arguments; what does not fit ends the process with 2. */
export function commandLine(usage, options, operands = 0) {
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: operands > 0 });
    if (positionals.length === operands) return { values, positionals };
    console.error(usage);
  } catch (error) {
    console.error(`${error.message}\n${usage}`);
  }
  process.exit(2);
}

/** Where shard `index` of `count` goes, beside the file of the whole job. */
export function shardFile(output, index, count) {
  return `${output}.${index}-of-${count}`;
}
