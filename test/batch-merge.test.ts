/** Shards put together: what they have to be. */
import { existsSync, readdirSync } from 'node:fs';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { mergeShards, runBatch, type BatchOptions, type DecodeSession } from '../lib/index.ts';
import { readOutput } from './support/batch.ts';
import { expectError, tempFolder } from './support/checkpoint-builder.ts';
import { withTinySession } from './support/tiny-session.ts';

let session: DecodeSession;
withTinySession({ maxNewTokens: 3 }, (opened) => (session = opened));

const records = Array.from({ length: 6 }, (_, i) => ({ text: [5 + i, 1] }));

/** Three shards, each with options of its own; in a folder of their own. */
async function shardsOf(
  ...own: Partial<BatchOptions>[]
): Promise<{ shards: string[]; all: string }> {
  const folder = await tempFolder();
  const shards = [1, 2, 3].map((index) => path.join(folder, `part${index}`));
  for (const [i, output] of shards.entries()) {
    const shard = { index: i + 1, count: 3 };
    await runBatch({ session, input: records, output, shard, ...own[i] });
  }
  return { shards, all: path.join(folder, 'all') };
}

async function refused(shards: string[], all: string, message: string): Promise<void> {
  await expectError(mergeShards(shards, all), 'ERR_INPUT', message);
  expect(existsSync(all)).toBe(false);
}

it('shards of one job are merged', async () => {
  const { shards, all } = await shardsOf();
  await mergeShards(shards, all);
  expect(readOutput(all).map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6]);
});

it('shards of different jobs are not', async () => {
  const seeds = await shardsOf({}, { seed: 5 });
  const [first, second] = seeds.shards;
  const message = `shards: ${second}: expected seed "0" as in ${first}, received "5"`;
  await refused(seeds.shards, seeds.all, message);
  const tokens = await shardsOf({}, {}, { counters: true });
  await refused(tokens.shards, tokens.all, 'expected counters false as in');
});

it('nor shards without their checkpoints, or that are not what these say', async () => {
  const { shards, all } = await shardsOf();
  const second = shards[1]!;
  const whole = await readFile(second);
  await truncate(second, whole.length - 1);
  const message = `${second}: expected the ${whole.length} bytes of its checkpoint, received ${whole.length - 1}`;
  await refused(shards, all, message);
  await writeFile(second, whole);
  await rm(`${second}.job.json`);
  await refused(shards, all, `${second}: expected its checkpoint (${second}.job.json) beside it`);
});

it('nor shards of different inputs, though their own records are alike', async () => {
  const other = records.map((record, i) => (i === 0 ? { text: [99, 1] } : record));
  const { shards, all } = await shardsOf({}, {}, { input: other });
  const message = `${shards[2]}: expected the input of ${shards[0]}, found that of another`;
  await refused(shards, all, message);
});

it('shards that were interrupted are merged, and so are those that were looked at again', async () => {
  const output = path.join(await tempFolder(), 'half');
  const shard = { index: 2, count: 3 };
  const onProgress = ({ records: done }: { records: number }): void => {
    if (done === 1) throw new Error('enough');
  };
  const job = { session, input: records, output, shard, checkpointSeconds: 0 };
  await expect(runBatch({ ...job, onProgress })).rejects.toThrow('enough');
  await runBatch({ ...job, resume: true });
  await runBatch({ ...job, resume: true });
  const { shards, all } = await shardsOf();
  await mergeShards([shards[0]!, output, shards[2]!], all);
  expect(readOutput(all).map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6]);
});

it('nor into standard output', async () => {
  const { shards } = await shardsOf();
  await refused(shards, '-', 'output: expected a path, received "-"');
});

it('nor shards whose numbers of lines cannot be, which leave nothing behind', async () => {
  const { shards, all } = await shardsOf();
  const third = await readFile(shards[2]!, 'utf8');
  await writeFile(shards[2]!, third.replace(',', '\n')); // a line more, in as many bytes
  const names = readdirSync(path.dirname(all));
  await refused(shards, all, `${shards[2]} has a line for which ${shards[0]} has no predecessor`);
  expect(readdirSync(path.dirname(all))).toEqual(names);
});
