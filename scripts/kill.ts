/**
 * Kills a batch job at random moments and resumes it (npm run test:kill): 50 times kill -9, then to
 * its end; the output must have the bytes of a job that nobody touched. Sampled, speculative, with
 * records that fail. Prints a Markdown table; exits with 1 if a byte differs.
 *
 *   npm run test:kill -- [--kills 50] [--records 12000] [--seed 1] [--output-name out.jsonl.gz]
 */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { captionRecords, writeRecords } from '../test/support/batch.ts';
import { run } from '../test/support/cli.ts';
import { setup as compile } from '../test/support/compiled.ts';
import { killOnce, randomNumbers } from '../test/support/kill.ts';
import { table } from './bench/table.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '50' },
    records: { type: 'string', default: '12000' },
    seed: { type: 'string', default: '1' },
    'output-name': { type: 'string', default: 'out.jsonl' },
  },
});
compile();
const folder = await mkdtemp(path.join(tmpdir(), 'speccascade-kill-'));
try {
  const records: unknown[] = captionRecords(Number(values.records));
  for (let i = 50; i < records.length; i += 100) records[i] = { id: `r${i}` };
  const input = await writeRecords(path.join(folder, 'in.jsonl'), records);
  const job = (name: string): string[] => [
    ...['batch', input, '--output', path.join(folder, name), '--quiet', '--resume'],
    ...['--target', 'models/base', '--draft', 'models/small', '--length', '3'],
    ...['--device', 'cpu', '--dtype', 'f32'],
    ...['--temperature', '0.8', '--seed', '7', '--max-new-tokens', '24'],
    ...['--checkpoint-seconds', '0.2'],
  ];
  const killed = values['output-name'];
  const output = path.join(folder, killed);
  const random = randomNumbers(Number(values.seed));
  const rows: string[][] = [];
  for (let i = 1; i <= Number(values.kills); i += 1) {
    const kill = await killOnce(job(killed), output, random, 300);
    if (kill === null) throw new Error(`the job ended before kill ${i}: give it more records`);
    const { afterMs, bytes, during } = kill;
    rows.push([String(i), during, afterMs.toFixed(0), String(bytes)]);
  }
  console.log(table(['kill', 'during', 'after ms', 'bytes of output'], rows));
  const digests: string[] = [];
  for (const name of [killed, `whole-${killed}`]) {
    // 1: some of the records have failed, as they should.
    const { code, err } = await run(job(name));
    if (code !== 1) throw new Error(`expected exit code 1, received ${code}: ${err}`);
    const content = await readFile(path.join(folder, name));
    digests.push(createHash('sha256').update(content).digest('hex'));
    console.log(`${name}: ${content.length} bytes, sha256 ${digests.at(-1)}`);
  }
  const same = digests[0] === digests[1];
  console.log(`\n${values.kills} kills: the outputs ${same ? 'are byte-identical' : 'DIFFER'}`);
  process.exitCode = same ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
