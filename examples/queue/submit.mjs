// Spreads a file of records over the workers and waits for them; then puts their lines together.
// Doing it again goes on where it was: shards that are done are not done twice, and those that have
// failed are tried again.
//
//   node submit.mjs [--shards 8] [--seed 0] [--prefix TEXT] INPUT OUTPUT
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Queue, QueueEvents } from 'bullmq';
import { mergeShards } from './speccascade.mjs';
import { commandLine, queueName, redis, shardFile } from './shards.mjs';

const usage = 'usage: node submit.mjs [--shards N] [--seed SEED] [--prefix TEXT] INPUT OUTPUT';
const { values, positionals } = commandLine(
  usage,
  {
    shards: { type: 'string', default: '8' },
    seed: { type: 'string', default: '0' },
    prefix: { type: 'string', default: 'translate English to German: ' },
  },
  2,
);
if (!/^\d+$/.test(values.seed) || !Number.isSafeInteger(Number(values.seed))) {
  throw new Error(`--seed: expected an integer from 0 to 2^53 - 1, received ${values.seed}`);
}
const [input, output] = positionals.map((name) => path.resolve(name));
const count = Number(values.shards);
if (!Number.isInteger(count) || count < 1) throw new Error(`--shards: received ${values.shards}`);
if (/\.(gz|zst)$/.test(output)) {
  throw new Error(`${output}: expected a plain file for the merged lines (compress it afterwards)`);
}
if (existsSync(output)) throw new Error(`${output} exists already`);

const queue = new Queue(queueName, { connection: redis() });
const events = new QueueEvents(queueName, { connection: redis() });
await events.waitUntilReady();
// The same job again means the same shards; another file, or other options, are others.
const seed = Number(values.seed);
const name = createHash('sha256')
  .update(JSON.stringify([input, output, count, seed, values.prefix]))
  .digest('hex')
  .slice(0, 16);
const jobs = await queue.addBulk(
  Array.from({ length: count }, (_, i) => ({
    name: 'shard',
    data: {
      ...{ input, seed, prefix: values.prefix },
      output: shardFile(output, i + 1, count),
      shard: { index: i + 1, count },
    },
    opts: {
      jobId: `${name}-${i + 1}-of-${count}`,
      attempts: 5,
      backoff: { type: 'exponential', delay: 1000 },
    },
  })),
);
for (const job of jobs) {
  if (await job.isFailed()) await job.retry('failed', { resetAttemptsMade: true });
}
try {
  const summaries = await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
  await mergeShards(
    jobs.map((_, i) => shardFile(output, i + 1, count)),
    output,
  );
  const total = (key) => summaries.reduce((sum, summary) => sum + summary[key], 0);
  console.log(`${total('records')} records, ${total('failed')} failed, ${total('tokens')} tokens`);
  process.exitCode = total('failed') > 0 ? 1 : 0;
} catch (error) {
  console.error(error.message); // of the shard that failed, or of the merge
  process.exitCode = 1;
} finally {
  await events.close();
  await queue.close();
}
