/** Who leaves early leaves nothing running: streams, samples, scores of a sequence cascade. */
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chain, createSession, type T5Model } from '../lib/index.ts';
import { caught } from './support/caught.ts';
import { loadBundled } from './support/models.ts';
import { loadWithNaN } from './support/nan-model.ts';

const input = [5, 6, 7, 8, 1];
/** Does not end by itself. */
const long = { suppressTokens: [1], maxNewTokens: 512 };
const endless = { ...long, maxNewTokens: 4096 };
let target: T5Model;
let drafter: T5Model;

beforeAll(async () => {
  target = await loadBundled('large');
  drafter = await loadBundled('small');
});
afterAll(async () => {
  await target.dispose();
  await drafter.dispose();
});

it('ends a stream that still waits for its turn', async () => {
  await using session = await createSession({ target, maxBatch: 1, maxNewTokens: 4096 });
  const abort = new AbortController();
  const ahead = caught(session.generate(input, { ...endless, signal: abort.signal }));
  const stream = Readable.from(session.stream(input, long));
  stream.resume();
  await expect.poll(() => session.stats().queued, { interval: 1 }).toBe(1);
  stream.destroy();
  await expect.poll(() => session.stats().queued, { interval: 1 }).toBe(0);
  expect(session.stats().active).toBe(1);
  abort.abort('enough');
  expect(await ahead).toMatchObject({ code: 'ERR_ABORTED' });
});

it('ends a stream without an error for who waits for its next chunk', async () => {
  await using session = await createSession({ target, maxBatch: 1, maxNewTokens: 512 });
  const ahead = session.generate(input, long);
  const chunks = session.stream(input, long);
  const next = chunks.next();
  await chunks.return();
  expect(await next).toEqual({ done: true, value: undefined });
  await ahead;
});

it('ends the other samples of an input when one fails', async () => {
  await using bad = await loadWithNaN(5);
  await using session = await createSession({ target: bad, maxBatch: 2, maxNewTokens: 512 });
  const samples = session.generate([5, 1], { ...long, numSamples: 500, temperature: 1 });
  const error = await caught(samples);
  expect(error).toMatchObject({ code: 'ERR_NUMERIC' });
  expect(error.results).toHaveLength(500);
  expect(session.stats()).toMatchObject({ queued: 0, active: 0 });
});

describe('a sequence cascade that keeps every answer', () => {
  const cascade = { score: 'probability', threshold: -Infinity } as const;
  const create = (maxQueue: number) =>
    createSession({
      ...{ target, draft: chain(drafter, { length: 1 }), strategy: 'sequence-cascade', cascade },
      ...{ maxBatch: 4, maxQueue, maxInputTokens: 512 },
    });
  const inputs = Array.from({ length: 100 }, () => [...new Array<number>(500).fill(7), 1]);

  it('ends with the session or the signal, scores or not', async () => {
    const session = await create(1000);
    const abort = new AbortController();
    const options = { logprobs: true, onError: 'return', maxNewTokens: 2 } as const;
    const aborted = session.generate(inputs, { ...options, signal: abort.signal });
    const closed = session.generate(inputs, options);
    await expect.poll(() => session.stats().outputs, { interval: 1 }).toBeGreaterThan(1);
    abort.abort();
    const first = await aborted;
    expect(first.filter((one) => one instanceof Error).length).toBeGreaterThan(50);
    await session.close();
    const second = await closed;
    const errors = second.filter((one) => one instanceof Error);
    expect(errors.length).toBeGreaterThan(20);
    for (const error of errors) expect(error).toMatchObject({ code: 'ERR_ABORTED' });
  });

  it('counts answers that wait for scores, and refuses more', async () => {
    await using session = await create(4);
    const abort = new AbortController();
    const options = { logprobs: true, maxNewTokens: 2, signal: abort.signal } as const;
    const all = inputs.slice(0, 40).map((ids) => session.generate(ids, options));
    const settled = Promise.allSettled(all);
    await expect.poll(() => session.stats().queued, { interval: 1 }).toBeGreaterThan(8);
    const full = await caught(session.trySubmit(input, { maxNewTokens: 2 }));
    expect(full).toMatchObject({ code: 'ERR_QUEUE_FULL', limit: 4 });
    abort.abort();
    await settled;
    expect(session.stats().queued).toBe(0);
  });
});

it('ends with its session while all threads of Node compute something else', async () => {
  const session = await createSession({ target, maxBatch: 1, maxNewTokens: 2048 });
  const ids = new Array<number>(1200).fill(7);
  const scores = Array.from({ length: 5 }, () => target.score([ids], [ids]));
  const error = caught(session.generate(input, { ...long, maxNewTokens: 2048 }));
  await expect.poll(() => session.stats().tokens, { interval: 1 }).toBeGreaterThan(0);
  const closing = session.close();
  expect(await error).toMatchObject({ code: 'ERR_ABORTED' });
  await Promise.all([closing, ...scores]);
});
