/** Sequence cascades: the small model answers, the target is asked where it is unsure. */
import { afterAll, beforeAll, describe, expect, it, vi, type MockInstance } from 'vitest';
import {
  chain,
  createSession,
  type Result,
  type SpeccascadeError,
  type T5Model,
} from '../lib/index.ts';
import { native } from '../lib/native.ts';
import { deriveSeed, smallModelSeed } from '../lib/session/seeds.ts';
import { sequenceScore } from '../lib/session/sequence-cascade.ts';
import { captions, loadBundled } from './support/models.ts';

let large: T5Model;
let base: T5Model;

beforeAll(async () => {
  [large, base] = await Promise.all([loadBundled('large'), loadBundled('base')]);
});
afterAll(async () => {
  await Promise.all([large.dispose(), base.dispose()]);
});

describe('a sequence cascade', () => {
  const texts = captions(16);
  const open = (threshold: number, maxNewTokens = 128) =>
    createSession({
      ...{ target: large, maxNewTokens },
      draft: chain(base, { length: 4 }),
      strategy: 'sequence-cascade',
      cascade: { score: 'mean-logprob', threshold },
    });

  it("gives one model's answer or the other's, by the score", async () => {
    await using alone = await createSession({ target: large });
    await using little = await createSession({ target: base });
    const [answers, own] = [
      await little.generate(texts, { logprobs: true }),
      await alone.generate(texts),
    ];
    const scores = answers.map(({ logprobs }) =>
      sequenceScore(logprobs!, { score: 'mean-logprob', quantile: 0 }),
    );
    const threshold = [...scores].sort((a, b) => a - b)[8]!;
    await using session = await open(threshold);
    const results = await session.generate(texts);
    results.forEach(({ tokens, text, stats }, i) => {
      const kept = scores[i]! >= threshold;
      expect({ tokens, text }).toEqual({
        tokens: (kept ? answers : own)[i]!.tokens,
        text: (kept ? answers : own)[i]!.text,
      });
      expect(stats.targetCalls).toBe(kept ? 0 : own[i]!.stats.targetCalls);
      expect(stats.draftCalls).toEqual([answers[i]!.stats.targetCalls]);
      expect(stats.deferralRate).toBe(kept ? 0 : 1);
    });
    const { outputs, totals } = session.stats();
    expect(outputs).toBe(texts.length);
    expect(totals.deferralRate).toBeCloseTo(8 / 16, 12);
  });

  it('streams, samples, aborts and closes', async () => {
    await using never = await open(-Infinity);
    await using always = await open(Infinity);
    for (const session of [never, always]) {
      let text = '';
      for await (const chunk of session.stream(texts[0]!)) text += chunk.text;
      const { text: whole, seed } = await session.generate(texts[0]!);
      expect(text).toBe(whole);
      const sampled = { temperature: 1, seed, numSamples: 3 };
      expect(await session.generate(texts[1]!, sampled)).toHaveLength(3);
      const own = { temperature: 1, seed: seed + 1n };
      const samples = await session.generate(texts[1]!, { ...own, numSamples: 3 });
      expect(new Set(samples.map((sample) => sample.seed)).size).toBe(3);
      for (const sample of samples) {
        const again = await session.generate(texts[1]!, { ...own, seed: sample.seed });
        expect([again.tokens, again.seed]).toEqual([sample.tokens, sample.seed]);
      }
    }
    await expect(never.generate(texts, { signal: AbortSignal.abort('no') })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
    const late = always.generate(texts, { maxNewTokens: 100 }).catch((error: unknown) => error);
    await always.close();
    expect(await late).toMatchObject({ code: expect.stringMatching(/ABORTED|CLOSED/) as string });
  });

  it('draws for each model with uniforms of its own', async () => {
    await using alone = await createSession({ target: large });
    await using little = await createSession({ target: base });
    await using never = await open(-Infinity);
    await using always = await open(Infinity);
    const own = { temperature: 1, seed: 77n };
    const answered = await never.generate(texts[0]!, own);
    const deferred = await always.generate(texts[0]!, own);
    expect([answered.seed, deferred.seed]).toEqual([77n, 77n]);
    expect(deferred.tokens).toEqual((await alone.generate(texts[0]!, own)).tokens);
    expect(answered.tokens).not.toEqual((await little.generate(texts[0]!, own)).tokens);
    const drawn = { ...own, seed: smallModelSeed(77n) };
    expect(answered.tokens).toEqual((await little.generate(texts[0]!, drawn)).tokens);
    const derived = Array.from({ length: 100 }, (_, i) => deriveSeed(77n, i));
    expect(derived).not.toContain(smallModelSeed(77n));
  });

  it('closes the engine of the small model where that of the target cannot be made', async () => {
    const gone = await loadBundled('large');
    await gone.dispose();
    const closed: MockInstance[] = [];
    const create = native.createSession.bind(native);
    const creating = vi.spyOn(native, 'createSession').mockImplementation((...args) => {
      const engine = create(...args);
      closed.push(vi.spyOn(engine, 'close'));
      return engine;
    });
    try {
      const draft = chain(base, { length: 4 });
      const options = { target: gone, draft, strategy: 'sequence-cascade' } as const;
      await expect(createSession(options)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
      expect(closed).toHaveLength(1);
      expect(closed[0]).toHaveBeenCalledOnce();
    } finally {
      creating.mockRestore();
    }
  });

  it('says what there was when it was aborted, of both models', async () => {
    await using always = await open(Infinity, 4000);
    const abortedBy = async (work: Promise<unknown>): Promise<Result> => {
      const error = await work.then(
        () => expect.unreachable('it did not fail'),
        (reason: unknown) => reason as SpeccascadeError,
      );
      expect(error).toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
      return error.partial!;
    };

    // While the small model answers: what it has said is a draft, and nothing has been decided.
    const early = new AbortController();
    const endless = { minNewTokens: 4000, signal: early.signal };
    const answering = abortedBy(always.generate(texts[0]!, endless));
    await expect.poll(() => always.stats().steps, { interval: 1 }).toBeGreaterThan(3);
    early.abort('enough');
    const { stats, tokens, logprobs } = await answering;
    expect(logprobs).toBeUndefined();
    expect(tokens.length).toBeGreaterThan(0);
    expect(stats).toMatchObject({ targetCalls: 0, proposed: tokens.length, tested: 0 });
    expect(stats.draftCalls[0]).toBeGreaterThanOrEqual(tokens.length);
    // It has ended, in whatever way, with what there was.
    expect(always.stats()).toMatchObject({
      ...{ outputs: 1, tokens: tokens.length },
      totals: { proposed: tokens.length, deferralRate: null },
    });

    // Between the two: the small model has ended, but nobody has heard of it yet.
    const between = new AbortController();
    const one = { maxNewTokens: 1, signal: between.signal };
    const asked = abortedBy(always.generate(texts[0]!, one));
    for (const end = performance.now() + 500; performance.now() < end;);
    between.abort('enough');
    expect(await asked).toMatchObject({
      ...{ tokens: [], finishReason: 'aborted' },
      stats: { targetCalls: 0, draftCalls: [1], proposed: 1, tested: 1, accepted: 0 },
    });

    // While the target answers, whose tokens are all that a stream gives.
    const late = new AbortController();
    const chunks = always.stream(texts[0]!, {
      ...{ minNewTokens: 128, maxNewTokens: 128, signal: late.signal },
    });
    await chunks.next();
    late.abort('enough');
    const deferred = await abortedBy(chunks.next());
    expect(deferred.tokens.length).toBeGreaterThan(0);
    expect(deferred.stats).toMatchObject({ draftCalls: [128], proposed: 128, deferralRate: 1 });
    expect(deferred.stats.targetCalls).toBeGreaterThan(0);
    expect(always.stats()).toMatchObject({ outputs: 3, totals: { deferralRate: 1 } });
  });

  it('scores as numpy would', () => {
    const logprobs = Float32Array.of(-0.5, -2, -0.25, -1);
    const of = (score: 'probability' | 'mean-logprob' | 'quantile' | 'chow-sum', quantile = 0) =>
      sequenceScore(logprobs, { score, quantile });
    expect(of('probability')).toBeCloseTo(Math.exp(-3.75), 12);
    expect(of('chow-sum')).toBe(-3.75);
    expect(of('mean-logprob')).toBe(-0.9375);
    expect([0, 0.25, 0.5, 1].map((q) => of('quantile', q))).toEqual([-2, -1.25, -0.75, -0.25]);
  });
});
