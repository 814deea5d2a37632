/** A result depends on the request and its seed: not on batch, order, neighbours or threads. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chain, createSession, type Result, type T5Model } from '../lib/index.ts';
import { captions, loadBundled } from './support/models.ts';

const texts = captions(12).map((text, i) => (i % 3 === 0 ? `${text} ${text.slice(29)}` : text));
const sampled = { temperature: 0.8, topP: 0.95, logprobs: true };

/** What must not change, the bits of the log-probabilities included. */
function essence({ tokens, logprobs, seed, finishReason, stats }: Result): string {
  const bits = logprobs ? [...new Uint32Array(logprobs.buffer)] : [];
  const { targetCalls, draftCalls, proposed, tested, accepted } = stats;
  const counters = [targetCalls, ...draftCalls, proposed, tested, accepted];
  return JSON.stringify([tokens, bits, seed.toString(), finishReason, counters]);
}

describe('independence of results', () => {
  let target: T5Model;
  let drafter: T5Model;
  let alone: string[];

  async function run(order: number[], maxBatch: number, models = { target, drafter }) {
    await using session = await createSession({
      target: models.target,
      draft: chain(models.drafter, { length: 4 }),
      maxBatch,
      maxNewTokens: 60,
    });
    const results = await Promise.all(
      order.map((i) => session.generate(texts[i]!, { ...sampled, seed: 1000 + i })),
    );
    const byText: string[] = [];
    order.forEach((i, at) => (byText[i] = essence(results[at]!)));
    return byText;
  }

  beforeAll(async () => {
    target = await loadBundled('large');
    drafter = await loadBundled('base');
    alone = await run([...texts.keys()], 1);
  });
  afterAll(async () => {
    await target.dispose();
    await drafter.dispose();
  });

  it.each([2, 5, 16])('batch %i', async (maxBatch) => {
    expect(await run([...texts.keys()], maxBatch)).toEqual(alone);
  });

  it('any order', async () => {
    expect(await run([...texts.keys()].reverse(), 4)).toEqual(alone);
    expect(await run([7, 2, 11, 0, 5, 9, 1, 10, 3, 8, 6, 4], 6)).toEqual(alone);
  });

  it.each([1, 2])('%i threads', async (threads) => {
    await using one = await loadBundled('large', { threads });
    await using two = await loadBundled('base', { threads });
    const models = { target: one, drafter: two };
    expect(await run([...texts.keys()], 8, models)).toEqual(alone);
  });

  it('neighbours that are aborted', async () => {
    await using session = await createSession({
      target,
      draft: chain(drafter, { length: 4 }),
      maxBatch: 8,
      maxNewTokens: 60,
    });
    const controller = new AbortController();
    const options = { minNewTokens: 60, signal: controller.signal };
    const doomed = texts.map((text) => session.generate(text, options));
    const kept = texts.map((text, i) => session.generate(text, { ...sampled, seed: 1000 + i }));
    await expect.poll(() => session.stats().steps, { interval: 1 }).toBeGreaterThan(1);
    controller.abort();
    // The last of them have not begun: more of them than slots.
    const ends = await Promise.allSettled(doomed);
    expect(ends.at(-1)).toMatchObject({ status: 'rejected', reason: { code: 'ERR_ABORTED' } });
    expect((await Promise.all(kept)).map(essence)).toEqual(alone);
  });

  it('a seed from a result gives the result again', async () => {
    await using session = await createSession({ target, maxNewTokens: 30 });
    const options = { ...sampled, seed: 5, numSamples: 3 };
    const samples = await session.generate(texts[0]!, options);
    expect(new Set(samples.map(({ seed }) => seed)).size).toBe(3);
    for (const sample of samples) {
      const again = await session.generate(texts[0]!, { ...sampled, seed: sample.seed });
      expect(essence(again)).toBe(essence(sample));
    }
  });
});
