/** What a batch job may not be told; nothing of it reaches the disk. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  chain,
  createSession,
  runBatch,
  type BatchOptions,
  type DecodeSession,
} from '../lib/index.ts';
import { expectError } from './support/checkpoint-builder.ts';
import { loadGolden } from './support/models.ts';

let session: DecodeSession;
beforeAll(async () => {
  session = await createSession({ target: await loadGolden('relu-tied') });
});
afterAll(() => session.close());

describe('options', () => {
  it.each([
    [{ session: {} }, 'session: expected a DecodeSession'],
    [{ input: 3 }, "input: expected a path, '-' or an iterable of records, received 3"],
    [{ output: '' }, "output: expected a path or '-'"],
    [{ field: 'id' }, 'field: expected a name other than id and options'],
    [{ seed: -1 }, 'seed: expected an integer from 0 to 2^64 - 1'],
    [{ shard: { index: 3, count: 2 } }, 'shard.index: expected an integer from 1 to 2'],
    [{ shard: { index: 1 } }, 'shard.count: expected an integer'],
    [{ resume: true, overwrite: true }, 'overwrite: expected false with resume'],
    [{ resume: true, output: '-' }, 'resume: expected false for standard output'],
    [{ checkpointSeconds: -1 }, 'checkpointSeconds: expected a number from 0 to 3600'],
    [{ orderByLength: 1 }, 'orderByLength: expected true or false'],
    [{ onprogress: 1 }, 'batch options: expected only the options'],
  ])('%j is refused', async (change, message) => {
    const options = { session, input: [], output: 'never written', ...change } as BatchOptions;
    await expectError(runBatch(options), 'ERR_INPUT', message);
    expect(existsSync('never written')).toBe(false);
  });
});

it('sessions whose lengths follow the load give no lines that depend on it', async () => {
  const target = await loadGolden('relu-tied');
  const draft = chain(target, { length: 2 });
  const job = { input: [], output: 'never written', counters: true };
  await using loaded = await createSession({ target, draft, lengths: 'load' });
  const counting = runBatch({ ...job, session: loaded });
  await expectError(counting, 'ERR_INPUT', "counters: expected false with lengths: 'load'");
  await using loose = await createSession({ target, draft, lengths: 'load', reproducible: false });
  const sampling = runBatch({ ...job, counters: false, session: loose });
  await expectError(sampling, 'ERR_INPUT', 'session: expected one that is reproducible');
});
