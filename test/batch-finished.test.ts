/** Batch jobs that have come to their end, resumed; and outputs without lines. */
import { readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import zlib, { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import {
  createSession,
  mergeShards,
  runBatch,
  type BatchOptions,
  type DecodeSession,
} from '../lib/index.ts';
import { jsonl, readOutput, writeRecords } from './support/batch.ts';
import { expectError, tempFolder } from './support/checkpoint-builder.ts';
import { loadGolden } from './support/models.ts';
import { withTinySession } from './support/tiny-session.ts';

let session: DecodeSession;
withTinySession({ maxNewTokens: 3 }, (opened) => (session = opened));

const records = [{ text: [5, 6, 1] }, { text: [6, 5, 1] }, { text: [5, 5, 1] }];
/** As many bytes of JSON. */
const others = [...records.slice(0, 2), { text: [6, 6, 1] }];

describe('a finished job', () => {
  let finished: BatchOptions & { input: string };
  let whole: Buffer;
  beforeAll(async () => {
    const folder = await tempFolder();
    const input = await writeRecords(path.join(folder, 'in.jsonl'), records);
    finished = { session, input, output: path.join(folder, 'out.jsonl') };
    await runBatch(finished);
    whole = await readFile(finished.output);
  });

  const resumed = (options: Partial<BatchOptions>) =>
    runBatch({ ...finished, resume: true, ...options });

  it('knows its input', async () => {
    expect(await resumed({})).toMatchObject({ records: 3, resumed: 3 });
    const { input } = finished;
    await writeRecords(input, others);
    await expectError(resumed({}), 'ERR_INPUT', `${input}: its first 3 records are not those`);
    await writeRecords(input, records);
    expect(await resumed({})).toMatchObject({ records: 3, resumed: 3 });
    expect((await readFile(finished.output)).equals(whole)).toBe(true);
  });

  it.each([
    [
      'standard input',
      (from: unknown[]) => ({ input: '-', stdin: Readable.from([Buffer.from(jsonl(from))]) }),
    ],
    ['values', (from: unknown[]) => ({ input: from, stdin: null })],
  ])('knows its input: %s', async (_, given) => {
    const output = `${finished.output}.${_.length}`;
    const run = (from: unknown[], resume = true) => {
      const { input, stdin } = given(from);
      if (stdin !== null) vi.spyOn(process, 'stdin', 'get').mockReturnValue(stdin as never);
      return runBatch({ ...finished, input, output, resume });
    };
    try {
      await run(records, false);
      expect(await run(records)).toMatchObject({ records: 3, resumed: 3 });
      await expectError(run(others), 'ERR_INPUT', 'its first 3 records are not those');
      await expectError(run(records.slice(0, 2)), 'ERR_INPUT', 'its first 3 records');
      const more = run([...records, ...records]);
      await expectError(more, 'ERR_INPUT', "goes on after the job's 3 records");
      expect((await readFile(output)).equals(whole)).toBe(true);
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('says what is missing where its output is gone', async () => {
    const output = `${finished.output}.gone`;
    await runBatch({ ...finished, output });
    await rm(output);
    const { message } = await expectError(resumed({ output }), 'ERR_INPUT');
    expect(message).toBe(
      `output: ${output} is missing, but by its checkpoint (${output}.job.json) it holds ` +
        '3 records; put it back, or begin anew (overwrite)',
    );
    await runBatch({ ...finished, output, overwrite: true });
    expect((await readFile(output)).equals(whole)).toBe(true);
  });
});

it('an output without lines is a compressed file all the same', async () => {
  const { zstdDecompressSync } = zlib as { zstdDecompressSync?: typeof gunzipSync };
  const unpackers = { gz: gunzipSync, zst: zstdDecompressSync };
  for (const [form, unpack] of Object.entries(unpackers)) {
    if (unpack === undefined) continue; // this Node has no Zstandard
    const output = path.join(await tempFolder(), `out.jsonl.${form}`);
    await runBatch({ session, input: [], output });
    const { size } = await stat(output);
    expect(unpack(await readFile(output))).toHaveLength(0);
    expect(await runBatch({ session, input: [], output, resume: true })).toMatchObject({
      records: 0,
    });
    expect((await stat(output)).size).toBe(size);
  }
});

it('many shards merge without a warning of listeners', async () => {
  const folder = await tempFolder();
  const count = 12;
  const shards = Array.from({ length: count }, (_, i) => path.join(folder, `part${i + 1}`));
  for (const [i, output] of shards.entries()) {
    await runBatch({ session, input: records, output, shard: { index: i + 1, count } });
  }
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  try {
    await mergeShards(shards, path.join(folder, 'all'));
    expect(warned).not.toHaveBeenCalled();
  } finally {
    warned.mockRestore();
  }
  expect(readOutput(path.join(folder, 'all'))).toHaveLength(records.length);
});

it('goes on with models that were disposed while their session is open', async () => {
  const folder = await tempFolder();
  const target = await loadGolden('relu-tied');
  await using own = await createSession({ target, maxNewTokens: 3 });
  await target.dispose();
  for (const [name, one] of [
    ['own', own],
    ['other', session],
  ] as const) {
    await runBatch({ session: one, input: records, output: path.join(folder, name) });
  }
  expect(readOutput(path.join(folder, 'own'))).toEqual(readOutput(path.join(folder, 'other')));
  await own.close();
  await expect(target.encode([[5, 1]])).rejects.toMatchObject({ code: 'ERR_CLOSED' });
});

it('what no JSON can hold is told as it is', async () => {
  const output = path.join(await tempFolder(), 'out.jsonl');
  const ring: { text?: object } = {};
  ring.text = ring;
  await runBatch({ session, input: [undefined, 5n, ring], output });
  expect(readOutput(output).map(({ error }) => error!.message)).toEqual([
    'record: expected a value that JSON can hold, received undefined',
    'record: expected a record, received 5n',
    'record: expected what JSON can hold: Converting circular structure to JSON',
  ]);
});

it('big integers of rows of a database are no text, may be ids, and else are ignored', async () => {
  const output = path.join(await tempFolder(), 'out.jsonl');
  const rows = [
    { id: 7n, text: [5, 6, 1], created: 5n, more: { at: 5n } },
    { id: 8n, text: 5n },
  ];
  await runBatch({ session, input: rows, output });
  const [row, bad] = readOutput(output);
  expect(row).toMatchObject({ id: '7', finishReason: expect.any(String) as unknown });
  expect(bad).toMatchObject({ id: '8', error: { code: 'ERR_INPUT' } });
  expect(bad!.error!.message).toContain('received null');
});

it('the seed of a line is one that a record may have, as it stands there', async () => {
  const output = path.join(await tempFolder(), 'out.jsonl');
  const seeds = [2n ** 64n - 1n, '18446744073709551615', 7, '7', '18446744073709551616', '-7'];
  const own = (seed: unknown) => ({ text: [5, 6, 1], options: { temperature: 1, seed } });
  await runBatch({ session, input: seeds.map(own), output });
  const [most, same, small, again, ...bad] = readOutput(output);
  expect([most!.seed, small!.seed]).toEqual(['18446744073709551615', '7']);
  expect([same, again]).toEqual([
    { ...most, id: 2 },
    { ...small, id: 4 },
  ]);
  expect(bad.map(({ error }) => error!.message)).toEqual([
    expect.stringContaining('received 18446744073709551616n'),
    expect.stringContaining('received "-7"'),
  ]);
  const { text } = own(0);
  const result = await session.generate(text, { temperature: 1, seed: 2n ** 64n - 1n });
  expect(most!.tokens).toEqual(result.tokens);
});
