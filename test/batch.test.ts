/** Batch jobs as the library runs them. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { appendFile, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import zlib, { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  chain,
  createSession,
  mergeShards,
  opt,
  runBatch,
  type BatchOptions,
  type BatchProgress,
  type DecodeSession,
  type T5Model,
} from '../lib/index.ts';
import { captionRecords, jsonl, readOutput, writeRecords } from './support/batch.ts';
import { expectError, tempFolder } from './support/checkpoint-builder.ts';
import { loadBundled, loadGolden } from './support/models.ts';

let target: T5Model;
let drafter: T5Model;
let session: DecodeSession;
/** Sampling, so that a seed in the wrong place shows. */
const sampling = { temperature: 0.9 };
beforeAll(async () => {
  target = await loadBundled('base');
  drafter = await loadBundled('small');
  const draft = chain(drafter, { length: 3 });
  session = await createSession({ target, draft, sampling, maxNewTokens: 24, maxBatch: 4 });
});
afterAll(async () => {
  await session.close();
  await target.dispose();
  await drafter.dispose();
});

const records = captionRecords(60);
/** In a folder of its own. */
async function job(
  options: Partial<BatchOptions> = {},
): Promise<BatchOptions & { output: string }> {
  const folder = await tempFolder();
  const input = await writeRecords(path.join(folder, 'in.jsonl'), records);
  return { session, input, output: path.join(folder, 'out.jsonl'), seed: 11, ...options };
}
const again = (options: BatchOptions): BatchOptions => ({ ...options, resume: true });

/** Ends a job by its signal once it has written so many lines. */
async function interrupt(options: BatchOptions, after: number): Promise<void> {
  const abort = new AbortController();
  const onProgress = (progress: BatchProgress): void => {
    if (progress.records - progress.resumed >= after) abort.abort(new Error('enough'));
  };
  const error = await expectError(
    runBatch({ ...options, signal: abort.signal, onProgress }),
    'ERR_ABORTED',
    'the job was aborted after',
  );
  expect(error.cause).toMatchObject({ message: 'enough' });
}

let whole: Buffer;
beforeAll(async () => {
  const options = await job();
  const summary = await runBatch(options);
  expect(summary).toMatchObject({ records: 60, failed: 0, resumed: 0 });
  whole = await readFile(options.output);
});

describe('lines', () => {
  it('are in the order of the records, each as if decoded alone with its seed', async () => {
    const options = await job({ tokens: true, counters: true });
    await runBatch(options);
    const lines = readOutput(options.output);
    expect(lines.map(({ id }) => id)).toEqual(records.map(({ id }) => id));
    for (const at of [0, 1, 59]) {
      const { text, tokens, numTokens, finishReason, seed, counters } = lines[at]!;
      const result = await session.generate(records[at]!.text, { seed: BigInt(seed!) });
      expect({ text, tokens, finishReason }).toEqual({
        text: result.text,
        tokens: result.tokens,
        finishReason: result.finishReason,
      });
      expect(numTokens).toBe(result.tokens.length);
      expect(result.stats).toMatchObject(counters!);
    }
    expect(new Set(lines.map(({ seed }) => seed)).size).toBe(60);
  });

  it('do not depend on batch, order or where the records come from', async () => {
    const draft = chain(drafter, { length: 3 });
    const settings = { target, draft, sampling, maxNewTokens: 24 };
    await using other = await createSession({ ...settings, maxBatch: 9 });
    async function* made(): AsyncGenerator<unknown> {
      for (const { id, text } of records) {
        yield { id, text: Int32Array.from(target.tokenizer!.encode(text)) };
      }
    }
    for (const more of [
      { session: other },
      { orderByLength: true },
      { session: other, orderByLength: true, input: records },
      { input: made() },
    ]) {
      const options = await job(more);
      await runBatch(options);
      expect((await readFile(options.output)).equals(whole), Object.keys(more).join()).toBe(true);
    }
  });

  it('say what is wrong with a record, and the others are unharmed', async () => {
    const ids = Int32Array.from(target.tokenizer!.encode(records[1]!.text));
    const bad: [Buffer | string, string][] = [
      ['{"text": "a', 'record: expected a JSON object, received "{\\"text\\": \\"a"'],
      ['', 'record: expected a JSON object, received ""'],
      ['[1]', 'record: expected a JSON object, received an array of 1'],
      ['null', 'record: expected a JSON object, received null'],
      [Buffer.from([0x7b, 0xff, 0x7d]), 'record: expected UTF-8'],
      ['{"id": "x"}', 'text: expected a text or a list of token ids, received undefined'],
      ['{"text": 3}', 'text: expected a text or a list of token ids, received 3'],
      ['{"text": " "}', 'text: expected a text that is not empty'],
      ['{"text": []}', 'text: expected at least one token id'],
      ['{"text": [1, "2"]}', 'text[1]: expected a token id, received "2"'],
      ['{"text": [1, 99999]}', 'expected token ids from 0 to'],
      ['{"text": "a", "id": {}}', 'id: expected a text or an integer'],
      ['{"text": "a", "id": 12345678901234567890}', 'id: expected a text or an integer'],
      ['{"text": "a", "options": {"topk": 3}}', 'options: expected only the options temperature'],
      [
        '{"text": "a", "options": {"maxNewTokens": 25}}',
        'maxNewTokens: expected an integer from 1',
      ],
      ['{"text": "a", "options": {"rule": {"rule": "x"}}}', 'rule: expected one of'],
      [JSON.stringify({ text: 'word '.repeat(600) }), 'expected at most maxInputTokens (512)'],
      [`{"text": "${'x'.repeat(9 * 2 ** 20)}"}`, 'expected a record of at most 8388608 bytes'],
    ];
    const own = { text: records[0]!.text, options: { temperature: 0, rule: opt({ alpha: 0.5 }) } };
    const good = [JSON.stringify(own), JSON.stringify({ id: 7, text: [...ids] })];
    const all = [good[0]!, ...bad.map(([line]) => line), good[1]!];
    const options = await job();
    const content = all.flatMap((line) => [Buffer.from(line as string), Buffer.from('\n')]);
    await writeFile(options.input as string, Buffer.concat(content).subarray(0, -1));
    expect(await runBatch(options)).toMatchObject({ records: all.length, failed: bad.length });
    const lines = readOutput(options.output);
    for (const [i, [, message]] of bad.entries()) {
      const { line, error } = lines[i + 1]!;
      expect(line).toBe(i + 2);
      expect(error).toMatchObject({ code: 'ERR_INPUT' });
      expect(error!.message).toContain(message);
      expect(error!.message.length).toBeLessThan(300);
    }
    expect(lines[6]!.id).toBe('x');
    expect(lines[1]!.id).toBe(2);
    const { temperature, rule } = own.options;
    const alone = await session.generate(own.text, { temperature, rule });
    expect(lines[0]).toMatchObject({ id: 1, text: alone.text });
    expect(lines[0]).not.toHaveProperty('seed');
    expect(lines.at(-1)).toMatchObject({ id: 7, finishReason: expect.any(String) as string });
  });

  it('say that a model failed without the number of the request', async () => {
    const model = await loadGolden('relu-tied');
    await using small = await createSession({ target: model, maxNewTokens: 4 });
    const all = Array.from({ length: model.config.vocabSize }, (_, id) => id);
    // Suppressing all but the end token, and that by minNewTokens, leaves none.
    const [end] = model.config.eosTokenIds;
    const suppressTokens = all.filter((id) => id !== end);
    const options = await job({
      session: small,
      input: [5, 6].map((id) => ({ text: [id, 1], options: { suppressTokens, minNewTokens: 1 } })),
    });
    expect(await runBatch(options)).toMatchObject({ records: 2, failed: 2 });
    const errors = readOutput(options.output).map(({ error }) => error);
    const message = 'suppressTokens and minNewTokens: every token is suppressed';
    expect(errors[0]).toEqual({ code: 'ERR_INPUT', message });
    expect(errors[1]).toEqual(errors[0]);
    expect(Object.keys(readOutput(options.output)[0]!)).toEqual(['id', 'line', 'error']);
  });

  it('hold ids where there are no texts', async () => {
    await using small = await createSession({ target: await loadGolden('relu-tied') });
    const options = await job({
      session: small,
      input: [{ ids: [5, 1] }, { ids: 'a' }],
      field: 'ids',
    });
    await runBatch({ ...options, prefix: '' });
    const [first, second] = readOutput(options.output);
    expect(first).toMatchObject({ text: null, tokens: expect.any(Array) as number[] });
    expect(second!.error!.message).toContain('the target has no tokenizer');
  });
});

describe('resuming', () => {
  it('gives the same bytes after any number of interruptions', async () => {
    const options = await job({ checkpointSeconds: 0 });
    for (const after of [1, 7, 20]) {
      await interrupt(again(options), after);
      // As a kill in the middle of a line leaves it.
      await appendFile(options.output, whole.subarray(3, 40));
      await writeFile(`${options.output}.job.json.${after}.tmp`, 'half a checkpoint');
    }
    // And as a run that had come further leaves it.
    await appendFile(options.output, whole);
    const summary = await runBatch(again(options));
    expect(summary.resumed).toBeGreaterThanOrEqual(28);
    expect((await readFile(options.output)).equals(whole)).toBe(true);
    const left = ['in.jsonl', 'out.jsonl', 'out.jsonl.job.json'];
    expect((await readdir(path.dirname(options.output))).sort()).toEqual(left);
    // And once more, for nothing.
    expect(await runBatch(again(options))).toMatchObject({ records: 60, resumed: 60 });
    expect((await readFile(options.output)).equals(whole)).toBe(true);
  });

  it('counts failures of earlier runs', async () => {
    const options = await job({ checkpointSeconds: 0 });
    const input = [{ text: 1 }, ...records.slice(0, 30)];
    await interrupt({ ...options, input }, 5);
    expect(await runBatch(again({ ...options, input }))).toMatchObject({ records: 31, failed: 1 });
  });

  it('of compressed output gives the same file, member by member', async () => {
    const many = captionRecords(600).map(({ id, text }) => ({ id, text: text.slice(0, 60) }));
    await using quick = await createSession({ target: drafter, maxNewTokens: 4, maxBatch: 32 });
    const folder = await tempFolder({ 'in.jsonl.gz': gzipSync(jsonl(many)) });
    const input = path.join(folder, 'in.jsonl.gz');
    const [output, other] = [path.join(folder, 'a.gz'), path.join(folder, 'b.gz')];
    await runBatch({ session: quick, input, output });
    const interrupted = { session: quick, input, output: other, checkpointSeconds: 0 };
    await interrupt(interrupted, 300);
    await appendFile(other, 'torn');
    expect(await runBatch(again(interrupted))).toMatchObject({ records: 600, resumed: 256 });
    expect((await readFile(other)).equals(await readFile(output))).toBe(true);
    expect(
      gunzipSync(await readFile(other))
        .toString()
        .split('\n'),
    ).toHaveLength(601);
  });

  it('refuses another job, naming the difference', async () => {
    const options = await job({ checkpointSeconds: 0 });
    await interrupt(options, 3);
    const draft = chain(drafter, { length: 4 });
    await using longer = await createSession({ target, draft, sampling, maxNewTokens: 24 });
    await using alone = await createSession({ target: drafter, sampling, maxNewTokens: 24 });
    const file = options.input as string;
    const other: [Partial<BatchOptions>, string][] = [
      [{ seed: 12 }, 'seed was "11" when the job began and is now "12"'],
      [{ session: longer }, 'draft.widths was "1,1,1" when the job began and is now "1,1,1,1"'],
      [{ session: alone }, 'target was "'],
      [{ prefix: 'x' }, 'prefix was ""'],
      [{ counters: true }, 'counters was false'],
      [{ shard: { index: 1, count: 2 } }, 'shard was "1/1"'],
      [{ input: await writeRecords(`${file}.2`, [...records, {}]) }, 'input.bytes was'],
    ];
    for (const [change, message] of other) {
      await expectError(runBatch(again({ ...options, ...change })), 'ERR_INPUT', message);
    }
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('"id":"r1"', '"id":"R1"'));
    const edited = runBatch(again(options));
    await expectError(edited, 'ERR_INPUT', 'are not those that the job was begun with');
    await writeFile(file, text);
    await runBatch(again(options));
    expect((await readFile(options.output)).equals(whole)).toBe(true);
  });

  it('refuses an input that has become shorter, and an output that has', async () => {
    const options = await job({ checkpointSeconds: 0 });
    const records30 = records.slice(0, 30);
    await interrupt({ ...options, input: records30 }, 9);
    const shorter = runBatch(again({ ...options, input: records30.slice(0, 2) }));
    await expectError(shorter, 'ERR_INPUT', 'are not those that the job was begun with');
    await truncate(options.output, 10);
    const cut = runBatch(again({ ...options, input: records30 }));
    await expectError(cut, 'ERR_INPUT', 'of its checkpoint, found 10');
    await writeFile(`${options.output}.job.json`, '{"format": "speccascade-batch/1"');
    const torn = runBatch(again({ ...options, input: records30 }));
    await expectError(torn, 'ERR_INPUT', 'expected a checkpoint');
  });

  it('gives way to a run that has taken the job over', async () => {
    const options = await job({ checkpointSeconds: 0 });
    const file = `${options.output}.job.json`;
    let taken = false;
    const first = runBatch({
      ...options,
      onProgress: ({ records: done }) => {
        if (done < 5 || taken) return;
        taken = true;
        const text = readFileSync(file, 'utf8');
        writeFileSync(file, text.replace(/"owner": "[^"]*"/, '"owner": "another"'));
      },
    });
    await expectError(first, 'ERR_IO', 'another run has taken this job over');
    await runBatch(again(options));
    expect((await readFile(options.output)).equals(whole)).toBe(true);
  });
});

describe('places', () => {
  it('that are taken are left alone', async () => {
    const options = await job();
    await writeFile(options.output, 'mine');
    await expectError(runBatch(options), 'ERR_INPUT', 'exists already; resume goes on');
    await expectError(runBatch(again(options)), 'ERR_INPUT', 'has no checkpoint');
    const onItself = { ...options, output: options.input as string, overwrite: true };
    await expectError(runBatch(onItself), 'ERR_INPUT', 'another file than the input');
    const folder = { ...options, output: path.dirname(options.output) };
    await expectError(runBatch(folder), 'ERR_INPUT', "a regular file or '-'");
    expect(await readFile(options.output, 'utf8')).toBe('mine');
    expect(existsSync(`${options.output}.job.json`)).toBe(false);
    await runBatch({ ...options, overwrite: true });
    expect((await readFile(options.output)).equals(whole)).toBe(true);
  });

  it('that cannot be read or written are named', async () => {
    const options = await job();
    await expectError(runBatch({ ...options, input: 'no/such.jsonl' }), 'ERR_IO', 'no/such.jsonl');
    const nowhere = runBatch({ ...options, output: 'no/such/out' });
    expect((await expectError(nowhere, 'ERR_IO')).message).toBe(
      'no/such/out: there is no folder no/such',
    );
    await expectError(runBatch({ ...options, input: '/' }), 'ERR_IO', '/: is a folder');
    const packed = `${options.input as string}.gz`;
    await writeFile(packed, gzipSync(jsonl(records)).subarray(0, 500));
    await expectError(runBatch({ ...options, input: packed }), 'ERR_IO', packed);
    await rm(packed);
  });

  it('may be compressed by Zstandard where this Node has it', async () => {
    const options = await job();
    const output = `${options.output}.zst`;
    if (!('zstdDecompressSync' in zlib)) {
      await expectError(runBatch({ ...options, output }), 'ERR_INPUT', '.zst needs Node 22.15');
      expect(existsSync(`${output}.job.json`)).toBe(false);
      return;
    }
    await runBatch({ ...options, output });
    const unpack = zlib.zstdDecompressSync as (packed: Buffer) => Buffer;
    expect(unpack(await readFile(output)).equals(whole)).toBe(true);
  });
});

describe('shards', () => {
  it('have the lines of the whole job, and merge into it', async () => {
    const options = await job();
    const outputs: string[] = [];
    for (const index of [1, 2, 3, 4, 5, 6, 7]) {
      const output = `${options.output}.${index}.gz`;
      outputs.push(output);
      await runBatch({ ...options, output, shard: { index, count: 7 } });
    }
    await mergeShards(outputs, options.output);
    expect((await readFile(options.output)).equals(whole)).toBe(true);
    await expectError(mergeShards(outputs, options.output), 'ERR_INPUT', 'exists already');
    const swapped = [...outputs.slice(4), ...outputs.slice(0, 4)];
    const other = `${options.output}.other`;
    const named = mergeShards(swapped, other);
    await expectError(named, 'ERR_INPUT', 'expected shard 1/7, received shard 5/7');
    const last = `${outputs[6]}.job.json`;
    await writeFile(
      last,
      (await readFile(last, 'utf8')).replace('"complete": true', '"complete": false'),
    );
    await expectError(mergeShards(outputs, other), 'ERR_INPUT', 'received incomplete shard 7/7');
    expect(existsSync(other)).toBe(false);
  });
});

it('takes no more records than it needs, and frees the session when it fails', async () => {
  let taken = 0;
  let returned = false;
  async function* endless(): AsyncGenerator<unknown> {
    try {
      for (;;) {
        taken += 1;
        yield records[taken % records.length];
      }
    } finally {
      returned = true;
    }
  }
  const options = await job({ input: endless(), checkpointSeconds: 3600 });
  await interrupt(options, 20);
  expect(taken).toBeLessThan(20 + 2 * 16 + 4);
  expect(returned).toBe(true);
  expect(session.stats()).toMatchObject({ queued: 0, active: 0 });
  const broken = await job({
    input: (function* () {
      yield records[0];
      throw new Error('the source broke');
    })(),
  });
  await expectError(runBatch(broken), 'ERR_IO', 'input: the source broke');
  expect(readOutput(broken.output).length).toBeLessThanOrEqual(1);
});
