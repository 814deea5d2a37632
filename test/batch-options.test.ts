/** What a batch job may not be told; nothing of it reaches the disk. */
import { existsSync, rmSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import {
  chain,
  createSession,
  mergeShards,
  opt,
  runBatch,
  type BatchOptions,
  type BatchProgress,
  type DecodeSession,
} from '../lib/index.ts';
import { openInput } from '../lib/batch/input.ts';
import { jobFile, readJobFile, writeJobFile } from '../lib/batch/job-file.ts';
import { StreamOutput } from '../lib/batch/output.ts';
import { readOutput } from './support/batch.ts';
import { expectError, tempFolder } from './support/checkpoint-builder.ts';
import { loadGolden } from './support/models.ts';
import { withTinySession } from './support/tiny-session.ts';

let session: DecodeSession;
withTinySession({}, (opened) => (session = opened));

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
    [{ overwrite: true, output: '-' }, 'overwrite: expected false for standard output'],
    [{ checkpointSeconds: 9, output: '-' }, 'checkpointSeconds: expected none for standard output'],
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

it('an output to be overwritten is left alone by a job that never begins', async () => {
  const output = path.join(await tempFolder({ 'out.jsonl': 'mine' }), 'out.jsonl');
  const before = await readFile(output);
  const options = { session, input: [[5, 1]], output, overwrite: true };
  const stopped = runBatch({ ...options, signal: AbortSignal.abort('late') });
  const error = await expectError(stopped, 'ERR_ABORTED', 'before it began');
  expect(error.cause).toBe('late');
  expect((await readFile(output)).equals(before)).toBe(true);
  expect(existsSync(`${output}.job.json`)).toBe(false);
});

it('a checkpoint that names no job is none', async () => {
  const done = { records: 0, bytes: 0, failed: 0, tokens: 0, inputSha256: '' };
  const files = { 'out.jsonl.job.json': { format: 'speccascade-batch/1', job: null, done } };
  const output = path.join(await tempFolder(files), 'out.jsonl');
  const resumed = runBatch({ session, input: [[5, 1]], output, resume: true });
  await expectError(resumed, 'ERR_INPUT', 'expected a checkpoint');
});

it('a session that is closed leaves no files behind', async () => {
  const closed = await createSession({ target: await loadGolden('relu-tied') });
  await closed.close();
  const job = runBatch({ session: closed, input: [], output: 'never written' });
  await expectError(job, 'ERR_CLOSED', 'the session is closed');
  for (const file of ['never written', 'never written.job.json']) {
    expect(existsSync(file)).toBe(false);
  }
});

it.each(['waits for its input', 'decodes'])(
  'a session that is closed ends a job that %s, which can be resumed',
  async (doing) => {
    const folder = await tempFolder();
    const { target } = session.settings;
    const own = await createSession({ target, maxBatch: 2 });
    const records = Array.from({ length: 40 }, (_, i) => ({ text: [5 + i, 1] }));
    const waits = doing === 'waits for its input';
    async function* input(): AsyncGenerator<unknown> {
      yield* records.slice(0, 20);
      if (waits) await new Promise(() => {});
      yield* records.slice(20);
    }
    const job = { output: path.join(folder, 'out'), checkpointSeconds: 0 };
    const onProgress = ({ records: done }: BatchProgress): void => {
      if (done === (waits ? 20 : 7)) void own.close();
    };
    const ended = runBatch({ ...job, session: own, input: input(), onProgress });
    await expectError(ended, 'ERR_CLOSED', 'the session was closed after ');
    const whole = path.join(folder, 'whole');
    await runBatch({ ...job, session, input: records, resume: true });
    await runBatch({ session, input: records, output: whole });
    expect(readOutput(job.output)).toEqual(readOutput(whole));
  },
);

it('an output that is removed meanwhile is told', async () => {
  const output = path.join(await tempFolder(), 'out');
  const input = Array.from({ length: 5 }, (_, i) => ({ text: [5 + i, 1] }));
  const onProgress = ({ records }: BatchProgress): void => {
    if (records === 2) rmSync(output);
  };
  const job = runBatch({ session, input, output, onProgress });
  await expectError(job, 'ERR_IO', 'out: removed while it was written');
});

it('a job that is aborted says what is done, however far apart its checkpoints are', async () => {
  const output = path.join(await tempFolder(), 'out');
  const records = Array.from({ length: 30 }, (_, i) => ({ text: [5 + i, 1] }));
  async function* input(): AsyncGenerator<unknown> {
    yield* records.slice(0, 7);
    await new Promise(() => {}); // or all could be decoded before the signal fires
  }
  const job = { session, output, checkpointSeconds: 3600 };
  const stop = new AbortController();
  const onProgress = ({ records: written }: BatchProgress): void => {
    if (written === 7) stop.abort();
  };
  const aborted = runBatch({ ...job, input: input(), onProgress, signal: stop.signal });
  await expectError(aborted, 'ERR_ABORTED', 'after 7 records');
  expect((await readJobFile(output))!.done.records).toBe(7);
  const summary = await runBatch({ ...job, input: records, resume: true });
  expect(summary).toMatchObject({ records: 30, resumed: 7 });
});

it('a checkpoint that cannot be written leaves no temporary file', async () => {
  const folder = await tempFolder();
  const output = path.join(folder, 'out');
  await runBatch({ session, input: [], output });
  const checkpoint = (await readJobFile(output))!;
  const blocked = path.join(folder, 'blocked');
  await mkdir(path.join(jobFile(blocked), 'in the way'), { recursive: true });
  await expectError(writeJobFile(blocked, checkpoint), 'ERR_IO', 'blocked.job.json');
  expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

it('what a progress callback throws ends the job, which can be resumed', async () => {
  const folder = await tempFolder();
  const input = Array.from({ length: 30 }, (_, i) => ({ text: [5 + i, 1] }));
  const job = (name: string) => ({
    ...{ session, input, output: path.join(folder, name), checkpointSeconds: 0 },
  });
  const onProgress = ({ records }: BatchProgress): void => {
    if (records === 7) throw new RangeError('mine');
  };
  await expect(runBatch({ ...job('broken'), onProgress })).rejects.toThrow(RangeError);
  expect(session.stats()).toMatchObject({ queued: 0, active: 0 });
  const summary = await runBatch({ ...job('broken'), resume: true });
  expect(summary).toMatchObject({ records: 30, resumed: 7 });
  await runBatch(job('whole'));
  expect(readOutput(path.join(folder, 'broken'))).toEqual(readOutput(path.join(folder, 'whole')));
});

it('progress tells the bytes of the lines that are written', async () => {
  const lines = Array.from({ length: 20 }, (_, i) => `${JSON.stringify({ text: [i + 2, 1] })}\n`);
  const folder = await tempFolder({ 'in.jsonl': lines.join('') });
  const seen: [number, number][] = [];
  await runBatch({
    ...{ session, input: path.join(folder, 'in.jsonl'), output: path.join(folder, 'out.jsonl') },
    onProgress: ({ records, bytesRead }) => seen.push([records, bytesRead]),
  });
  const upTo = (records: number): number => lines.slice(0, records).join('').length;
  expect(seen).toEqual(Array.from({ length: 21 }, (_, i) => [i, upTo(i)]));
});

it('parameters of rules may be infinite', async () => {
  const target = await loadGolden('relu-tied');
  const draft = chain(target, { length: 2 });
  await using weighing = await createSession({ target, draft, maxNewTokens: 4 });
  const folder = await tempFolder();
  const rules = [opt({ alpha: Infinity }), { rule: 'opt', alpha: '-Infinity' }];
  const input = rules.map((rule) => ({ text: [5, 1], options: { rule } }));
  const summary = await runBatch({ session: weighing, input, output: path.join(folder, 'out') });
  expect(summary).toMatchObject({ records: 2, failed: 0 });
});

it('an iterable keeps infinite parameters', async () => {
  const value = { rule: { beta: Infinity, fallback: -Infinity } };
  const { records } = await openInput([value], new AbortController().signal);
  let json = '';
  for await (const source of records) json += String(source);
  expect(json).toBe('{"rule":{"beta":"Infinity","fallback":"-Infinity"}}');
});

it('an iterable has no number passed over that is NaN or infinite', async () => {
  const output = path.join(await tempFolder(), 'out');
  const text = [5, 1];
  const input = [
    ...[{ topK: NaN }, { maxNewTokens: Infinity }, { seed: -Infinity }, { stopTokens: [NaN] }],
    ...[{ rule: { rule: 'opt', alpha: NaN } }],
  ].map((options) => ({ text, options }));
  const own = [{ text, id: NaN }, { text, options: NaN }, { text: Infinity }, { text: [NaN] }];
  const summary = await runBatch({ session, input: [...input, ...own], output });
  expect(summary).toMatchObject({ records: 9, failed: 9 });
  const messages = readOutput(output).map(({ error }) => (error as { message: string }).message);
  const names = messages.map((message) => message.split(':')[0]);
  expect(names).toEqual([
    ...['topK', 'maxNewTokens', 'seed', 'stopTokens[0]', 'opt alpha'],
    ...['id', 'options', 'text', 'text[0]'],
  ]);
});

it('a target without tokenizer has lines with ids, whatever is asked for', async () => {
  const output = path.join(await tempFolder(), 'out');
  await runBatch({ session, input: [{ text: [5, 1] }], output, tokens: false });
  expect(readOutput(output)[0]!['tokens']).toBeInstanceOf(Array);
});

describe('shards to merge', () => {
  it.each<[string, unknown, unknown, string]>([
    ['a path', 'x', 'y', 'shards: expected a list of paths, received "x"'],
    ['nothing', undefined, 'y', 'shards: expected a list of paths, received undefined'],
    ['an empty list', [], 'y', 'shards: expected at least one path, received an array of 0'],
    ['a number', ['x', 5], 'y', 'shards[1]: expected a path, received 5'],
    ['a hole', new Array(1), 'y', 'shards[0]: expected a path, received undefined'],
    ['no output', ['x'], undefined, 'output: expected a path, received undefined'],
  ])('%s are refused', async (_, shards, output, message) => {
    const work = mergeShards(shards as string[], output as string);
    await expectError(work, 'ERR_INPUT', message);
  });
});

it('standard output keeps no listener of a job that has ended', async () => {
  const stream = new PassThrough();
  const entry = { source: Buffer.from('{}'), failed: false, tokens: 0 };
  for (const line of ['a\n', 'b\n']) {
    const output = new StreamOutput(stream);
    await output.write({ line, ...entry });
    await output.close();
  }
  expect(stream.listenerCount('error')).toBe(0);
  expect(String(stream.read())).toBe('a\nb\n');
});

it('an input is not written over, be it where the checkpoint would be', async () => {
  const output = path.join(await tempFolder({ 'out.job.json': '{"text": [5, 1]}\n' }), 'out');
  const input = `${output}.job.json`;
  const job = runBatch({ session, input, output, overwrite: true });
  await expectError(job, 'ERR_INPUT', 'output: expected another file than the input');
  expect(await readFile(input, 'utf8')).toBe('{"text": [5, 1]}\n');
});
