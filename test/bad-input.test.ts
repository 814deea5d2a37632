/** Everything a caller can get wrong is an error of a named class that tells the value. */
import os from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  chain,
  createSession,
  lossless,
  SpeccascadeError,
  T5Model,
  type DecodeSession,
  type GenerateOptions,
} from '../lib/index.ts';
import { philox } from '../lib/lowlevel.ts';
import { pad } from '../lib/pack.ts';
import { bundledFolder, loadBundled, loadGolden } from './support/models.ts';

const text = 'translate English to German: A dog runs.';

it('is told by errors that have no properties but those that say something', () => {
  const own = (error: SpeccascadeError) => Object.keys(error).sort();
  expect(own(new SpeccascadeError('ERR_INPUT', 'no'))).toEqual(['code', 'name']);
  const full = new SpeccascadeError('ERR_QUEUE_FULL', 'no', { size: 3, limit: 2 });
  expect(own(full)).toEqual(['code', 'limit', 'name', 'size']);
});

describe('bad input', () => {
  let target: T5Model;
  let session: DecodeSession;

  beforeAll(async () => {
    target = await loadBundled('small');
    session = await createSession({ target, maxInputTokens: 32, maxNewTokens: 16 });
  });
  afterAll(async () => {
    await session.close();
    await target.dispose();
  });

  const inputs: [string, unknown, RegExp][] = [
    ['empty text', '', /input: expected a text with at least one token, received ""/],
    ['blank text', '  \n ', /at least one token/],
    ['a text that is too long', 'word '.repeat(100), /maxInputTokens \(32\).*received 201/],
    ['no ids', new Int32Array(0), /at least one token id/],
    ['an id outside the vocabulary', [5, 8064], /input\[1\]: expected.* 0 to 8063, received 8064/],
    ['a negative id', [5, -1], /received -1/],
    ['a fractional id', [5, 1.5], /received 1.5/],
    ['null', null, /received null/],
    ['an object', { text }, /an object/],
  ];
  it.each(inputs)('%s', async (_, input, message) => {
    const error = await session.generate(input as string).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SpeccascadeError);
    expect(error).toMatchObject({ code: 'ERR_INPUT' });
    expect((error as Error).message).toMatch(message);
  });

  const requestOptions: [string, Record<string, unknown>, RegExp][] = [
    ['NaN temperature', { temperature: NaN }, /temperature: expected a finite.*received NaN/],
    ['negative temperature', { temperature: -1 }, /received -1/],
    ['infinite temperature', { temperature: Infinity }, /received Infinity/],
    ['a temperature above float32', { temperature: 1e300 }, /temperature.*received 1e\+300/],
    ['a topP below float32', { topP: 1e-60 }, /topP.*received 1e-60/],
    ['topP 0', { topP: 0 }, /topP/],
    ['topP above 1', { topP: 1.01 }, /received 1.01/],
    ['topK -1', { topK: -1 }, /topK/],
    ['topK 1.5', { topK: 1.5 }, /topK/],
    ['seed -1', { seed: -1 }, /seed/],
    ['seed 2^64', { seed: 2n ** 64n }, /18446744073709551616n/],
    ['seed 0.5', { seed: 0.5 }, /seed/],
    ['maxNewTokens 0', { maxNewTokens: 0 }, /maxNewTokens.*received 0/],
    ["maxNewTokens above the session's", { maxNewTokens: 17 }, /from 1 to 16, received 17/],
    ['minNewTokens above maxNewTokens', { minNewTokens: 17 }, /minNewTokens/],
    ['a stop token outside', { stopTokens: [1, 9000] }, /stopTokens\[1\].*received 9000/],
    ['a suppressed token outside', { suppressTokens: [-3] }, /suppressTokens.*received -3/],
    ['stop tokens 0', { stopTokens: 0 }, /stopTokens.*received 0/],
    ["stop tokens ''", { stopTokens: '' }, /stopTokens.*received ""/],
    ['suppressed tokens false', { suppressTokens: false }, /suppressTokens.*received false/],
    ["a rule ''", { rule: '' }, /rule.*received ""/],
    [
      'everything suppressed',
      { suppressTokens: [...Array(8064).keys()] },
      /at least one token of the vocabulary's 8064 left, received 8064/,
    ],
    ['numSamples 0', { numSamples: 0 }, /numSamples/],
    ['an unknown rule', { rule: { rule: 'magic' } }, /rule: expected one of.*"magic"/],
    ['an unknown option', { temprature: 1 }, /received "temprature"/],
    ['a signal that is none', { signal: {} }, /AbortSignal/],
    ['an unknown onError', { onError: 'ignore' }, /onError/],
  ];
  it.each(requestOptions)('%s', async (_, options, message) => {
    for (const input of [text, [text, text]] as [string, string[]]) {
      const error = await session
        .generate(input as string, options as GenerateOptions)
        .catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'ERR_INPUT' });
      expect((error as Error).message).toMatch(message);
    }
    const iterator = session.stream(text, options);
    await expect(iterator.next()).rejects.toMatchObject({ code: 'ERR_INPUT' });
  });

  it('a list where one input is taken', async () => {
    for (const [name, of] of [
      ['stream', (list: string[]) => session.stream(list as never).next()],
      ['trySubmit', (list: string[]) => session.trySubmit(list as never)],
    ] as const) {
      await expect(of([text, text])).rejects.toMatchObject({
        code: 'ERR_INPUT',
        message: `input of ${name}(): expected one input, received an array of 2`,
      });
    }
  });

  it('a load that is aborted before it begins', async () => {
    const loading = T5Model.load(bundledFolder('small'), { signal: AbortSignal.abort('no') });
    const told = { code: 'ERR_ABORTED', message: 'the load was aborted', cause: 'no' };
    await expect(loading).rejects.toMatchObject(told);
  });

  const sessionOptions: [string, Record<string, unknown>, RegExp][] = [
    ['no target', { target: undefined }, /target: expected a T5Model/],
    ['a target that is none', { target: {} }, /target/],
    ['maxBatch 0', { maxBatch: 0 }, /maxBatch/],
    ['maxInputTokens 0', { maxInputTokens: 0 }, /maxInputTokens/],
    ['a drafter that is none', { draft: { drafter: 'oracle' } }, /draft.*"oracle"/],
    ['a verifier without meaning', { verifier: 'vote' }, /verifier/],
    ['a prefix outside the vocabulary', { decoderPrefix: [8064] }, /decoderPrefix/],
    ['an unknown option', { batchSize: 3 }, /"batchSize"/],
    ['a NaN in sampling', { sampling: { temperature: NaN } }, /temperature/],
    ['an unknown sampling option', { sampling: { temp: 1 } }, /"temp"/],
  ];
  it.each(sessionOptions)('session: %s', async (_, options, message) => {
    const error = await createSession({ target, ...options }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ERR_INPUT' });
    expect((error as Error).message).toMatch(message);
  });

  it('a session too large for the machine', async () => {
    const huge = { target, maxBatch: 4096, maxInputTokens: 2 ** 20, maxNewTokens: 2 ** 20 };
    await expect(createSession(huge)).rejects.toMatchObject({
      code: 'ERR_OUT_OF_MEMORY',
      message: expect.stringMatching(/needed \d+ bytes, free \d+/) as unknown,
    });
  });

  it('a session whose parts fit the machine one by one alone', async () => {
    const tokens = { maxInputTokens: 65_536, maxNewTokens: 65_536 };
    const bytesOf = async (maxBatch: number): Promise<number> => {
      await using session = await createSession({ target, ...tokens, maxBatch });
      return session.stats().cacheBytes;
    };
    // Two caches of the same size are nearly all of it.
    const perSlot = (await bytesOf(2)) - (await bytesOf(1));
    const maxBatch = Math.ceil((1.5 * os.totalmem()) / perSlot);
    await expect(createSession({ target, ...tokens, maxBatch })).rejects.toMatchObject({
      code: 'ERR_OUT_OF_MEMORY',
      message: expect.stringMatching(/needed \d+ bytes for the session, free \d+/) as unknown,
    });
  });

  it('drafters that do not fit', async () => {
    await using other = await loadGolden('relu-tied');
    const draft = chain(other, { length: 3 });
    await expect(createSession({ target, draft })).rejects.toMatchObject({
      code: 'ERR_VOCAB_MISMATCH',
      message: expect.stringMatching(/128.*8064/) as unknown,
    });
    for (const length of [0, 256, 1.5, NaN]) {
      expect(() => chain(target, { length })).toThrowError(
        expect.objectContaining({ code: 'ERR_INPUT' }) as Error,
      );
    }
    expect(() => chain({} as T5Model, { length: 1 })).toThrow(/T5Model/);
    expect(lossless()).toEqual({ rule: 'lossless' });
  });

  it('calls after close() and dispose()', async () => {
    const model = await loadBundled('small');
    const closed = await createSession({ target: model });
    await closed.close();
    const gone = { code: 'ERR_CLOSED' };
    await expect(closed.generate(text)).rejects.toMatchObject(gone);
    await expect(closed.generate([text])).rejects.toMatchObject(gone);
    await expect(closed.stream(text).next()).rejects.toMatchObject(gone);
    await model.dispose();
    await expect(model.logits([[1]], [[0]])).rejects.toMatchObject(gone);
    await expect(model.score([[1]], [[1]])).rejects.toMatchObject(gone);
    await expect(createSession({ target: model })).rejects.toMatchObject(gone);
    await expect(model.encode([[1]])).rejects.toThrow(`the model "${bundledFolder('small')}"`);
  });

  it('in an array: nothing starts, and the index is told', async () => {
    const error: unknown = await session
      .generate([text, '', text])
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ERR_INPUT', index: 1 });
    expect((error as SpeccascadeError).message).toContain('inputs[1]');
    const all = await session.generate([text, '', text], { onError: 'return' });
    expect(all[1]).toBeInstanceOf(SpeccascadeError);
    expect(all[1]).toMatchObject({ code: 'ERR_INPUT', index: 1 });
    expect([all[0], all[2]].map((one) => (one as { text: string }).text)).toHaveLength(2);
  });

  it('a signal that has been aborted already', async () => {
    const signal = AbortSignal.abort(new Error('never mind'));
    const error: unknown = await session
      .generate(text, { signal })
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ERR_ABORTED' });
    expect(((error as Error).cause as Error).message).toBe('never mind');
    const options = { signal };
    await expect(T5Model.load(bundledFolder('small'), options)).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
  });

  it('load options', async () => {
    const folder = bundledFolder('small');
    const codeOf = (options: Record<string, unknown>) =>
      T5Model.load(folder, options).then(
        () => 'loaded',
        (error: SpeccascadeError) => error.code,
      );
    expect(await codeOf({ dtype: 'f64' })).toBe('ERR_INPUT');
    expect(await codeOf({ dtype: 'f16' })).toBe('ERR_DEVICE');
    expect(await codeOf({ device: 'tpu' })).toBe('ERR_INPUT');
    expect(await codeOf({ device: 'cuda:7' })).toBe('ERR_DEVICE');
    expect(await codeOf({ threads: 0 })).toBe('ERR_INPUT');
    expect(await codeOf({ treads: 2 })).toBe('ERR_INPUT');
    expect(await codeOf({ signal: {} })).toBe('ERR_INPUT');
    expect(await codeOf({ onProgress: 5 })).toBe('ERR_INPUT');
    expect(await codeOf({ cacheDir: 5 })).toBe('ERR_INPUT');
    expect(await codeOf({ revision: '' })).toBe('ERR_INPUT');
    await expect(T5Model.load('random:t5-huge')).rejects.toMatchObject({ code: 'ERR_INPUT' });
    await expect(T5Model.load('')).rejects.toMatchObject({ code: 'ERR_INPUT' });
  });

  it('a signal that fires while loading', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const onProgress = (): void => controller.abort(new Error('too slow'));
    const error: unknown = await T5Model.load('random:t5-small', { signal, onProgress }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'ERR_ABORTED' });
    expect(((error as Error).cause as Error).message).toBe('too slow');
  });

  it.each([
    ['read', () => bundledFolder('small')],
    ['made', () => 'random:t5-small'],
  ])('a progress callback that throws while weights are %s', async (_, source) => {
    const warnings: unknown[] = [];
    const warn = (warning: Error): unknown => warnings.push(warning);
    process.on('warning', warn);
    let calls = 0;
    const onProgress = (): void => {
      calls += 1;
      throw new RangeError('mine');
    };
    await expect(T5Model.load(source(), { onProgress })).rejects.toThrow(RangeError);
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.off('warning', warn);
    expect({ calls, warnings }).toEqual({ calls: 1, warnings: [] });
  });

  it('a progress callback hears of the end before the load has ended', async () => {
    let last = { done: -1, total: 0 };
    await using model = await T5Model.load(bundledFolder('small'), {
      onProgress: (progress) => (last = progress),
    });
    expect(last.done).toBe(last.total);
    expect(model.parameters).toBeGreaterThan(0);
  });

  it('ids of teacher-forced passes', async () => {
    const bad = { code: 'ERR_INPUT' };
    await expect(target.encode([[]])).rejects.toMatchObject(bad);
    await expect(target.encode([[99999]])).rejects.toMatchObject(bad);
    await expect(target.logits([[1]], [])).rejects.toMatchObject(bad);
    await expect(target.score([[1]], [[]])).rejects.toMatchObject(bad);
    await expect(target.encode(new Array<number[]>(2))).rejects.toMatchObject(bad);
    expect((await target.encode([])).shape[0]).toBe(0);
  });

  it('tensors that no array can hold', () => {
    const error = expect.objectContaining({
      code: 'ERR_OUT_OF_MEMORY',
      message: `needed ${2 ** 62} bytes for the result`,
    }) as Error;
    expect(() => pad(new Float32Array(0), Int32Array.of(2 ** 30), 2 ** 30)).toThrow(error);
  });

  it('counters of the generator', () => {
    expect(() => philox(-1n, [0, 0, 0, 0])).toThrow(/seed/);
    expect(() => philox(0n, [0, 0, 0, -1])).toThrow(/counter\[3\].*received -1/);
    expect(() => philox(0n, [0.5, 0, 0, 0])).toThrow(/counter\[0\].*received 0.5/);
    expect(() => philox(0n, [0, 0] as never)).toThrow(/counter.*an array of 2/);
    expect(philox(0n, [0, 0, 0, 0]).words[0]).toBe(1713891541);
  });

  it('names ids whose memory was given away', async () => {
    const given = Int32Array.from([5, 6, 1]);
    structuredClone(given, { transfer: [given.buffer] });
    const expected = { code: 'ERR_INPUT', message: expect.stringContaining('token ids') as string };
    await expect(session.generate(given)).rejects.toMatchObject(expected);
    const [whole, bad] = await session.generate([[5, 6, 1], given], { onError: 'return' });
    expect(whole).toHaveProperty('tokens');
    expect(bad).toMatchObject(expected);
  });
});
