/** Sequence cascades: the small model answers, the target is asked where it is unsure. */
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi, type MockInstance } from 'vitest';
import { chain, createSession, type Result, type T5Model } from '../lib/index.ts';
import { native } from '../lib/native.ts';
import { deriveSeed, smallModelSeed } from '../lib/session/seeds.ts';
import { EngineRunner, type Begun } from '../lib/session/runner.ts';
import { SequenceCascade, sequenceScore } from '../lib/session/sequence-cascade.ts';
import { caught } from './support/caught.ts';
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

  /** What the small model says alone, and a threshold that refuses half of it. */
  const smallAnswers = async (maxNewTokens = 128) => {
    await using little = await createSession({ target: base, maxNewTokens });
    const answers = await little.generate(texts, { logprobs: true });
    const scores = answers.map(({ logprobs }) =>
      sequenceScore(logprobs!, { score: 'mean-logprob', quantile: 0 }),
    );
    return { answers, scores, threshold: [...scores].sort((a, b) => a - b)[8]! };
  };

  it("gives one model's answer or the other's, by the score", async () => {
    await using alone = await createSession({ target: large });
    const { answers, scores, threshold } = await smallAnswers();
    const own = await alone.generate(texts);
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

  it("has the target's log-probabilities, also of answers that it did not make", async () => {
    const target = await loadBundled('large');
    const said = target.tokenizer!.encode('Ein').slice(0, -1);
    await using session = await createSession({
      ...{ target, draft: chain(base, { length: 4 }), strategy: 'sequence-cascade' },
      ...{ cascade: { threshold: -Infinity }, decoderPrefix: said, maxNewTokens: 12 },
    });
    const { threshold } = await smallAnswers(24);
    await using mixed = await open(threshold, 24);
    await target.dispose(); // which sessions outlive
    const ids = texts.map((text) => large.tokenizer!.encode(text));
    for (const [one, before] of [
      [session, said],
      [mixed, []],
    ] as const) {
      const results = await one.generate(texts, { logprobs: true });
      const outputs = results.map(({ tokens }) => [...before, ...tokens]);
      const scores = await large.score(ids, outputs);
      results.forEach(({ logprobs }, i) =>
        expect(logprobs).toEqual(scores.tokens[i]!.slice(before.length)),
      );
      expect(one.stats().totals.deferralRate).toBe(one === session ? 0 : 0.5);
    }
    let last: Result | undefined;
    for await (const { result } of session.stream(texts[0]!, { logprobs: true })) last = result;
    expect(last!.logprobs).toHaveLength(last!.tokens.length);
    expect(last!.stats.targetCalls).toBe(0);
  });

  it('lets the samples of an input share the encoder passes of both models', async () => {
    await using always = await open(Infinity, 8);
    const samples = await always.generate([texts[0]!, texts[1]!], {
      ...{ numSamples: 3, temperature: 1, seed: 3 },
    });
    const encoding = samples.map(({ stats }) => stats.encodeMs > 0);
    expect(encoding).toEqual([true, false, false, true, false, false]);
  });

  it('tells of its outputs, not of two engines', async () => {
    const { threshold } = await smallAnswers(16);
    await using session = await open(threshold, 16);
    await session.generate(texts);
    const stats = session.stats();
    expect(stats.totals.deferralRate).toBe(0.5);
    expect(stats).toMatchObject({
      ...{ queued: 0, active: 0, outputs: 16, slots: 2 * 16 },
      ...{ timeInQueue: { count: 16 }, timeToFirstToken: { count: 16 } },
    });
    const { counts, boundsMs, sumMs } = stats.timeToFirstToken;
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(16);
    expect(counts).toHaveLength(boundsMs.length + 1);
    expect(sumMs).toBeGreaterThanOrEqual(stats.timeInQueue.sumMs);
    expect(stats.slotUse).toBeCloseTo(stats.slotSteps / (stats.steps * stats.slots), 12);
  });

  it('takes no rule, of a call as little as of a session', async () => {
    await using session = await open(-Infinity, 4);
    const message = 'rule: expected none: cascade.threshold decides, received "chow"';
    const rule = { rule: 'chow', alpha: 0.3 } as const;
    await expect(session.generate(texts[0]!, { rule })).rejects.toMatchObject({
      ...{ code: 'ERR_INPUT', message },
    });
    const { tokens } = await session.generate(texts[0]!, { rule: { rule: 'lossless' } });
    expect(tokens).toEqual((await session.generate(texts[0]!)).tokens);
  });

  it('says what there was when it was aborted, of both models', async () => {
    await using always = await open(Infinity, 4000);
    const abortedBy = async (work: Promise<unknown>): Promise<Result> => {
      const error = await caught(work);
      expect(error).toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
      return error.partial!;
    };

    // While the small model answers: what it has said is a draft, and nothing has been decided.
    const early = new AbortController();
    const endless = { minNewTokens: 4000, signal: early.signal, logprobs: true };
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
    const { steps } = always.stats();
    const asked = abortedBy(always.generate(texts[0]!, one));
    while (always.stats().steps === steps); // in this turn of the event loop
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

  it('asks the target for nothing that is no longer wanted', async () => {
    await using session = await open(Infinity, 200);
    const { settings } = session;
    const runner = new SequenceCascade(settings, settings.cascade!);
    const beginning = vi.spyOn(EngineRunner.prototype, 'begin');
    try {
      const ids = large.tokenizer!.encode(texts[0]!);
      const request = { place: '', inputIds: Int32Array.from(ids), seeds: [1n] };
      const own = { ...settings.defaults, minNewTokens: 200 };
      const begun = runner.begin([request], own, { called: performance.now() });
      const small = beginning.mock.results[0]!.value as Begun;
      // The small model has ended, and the target is about to be asked.
      await Promise.all([
        small.results[0]!.then(begun.cancel),
        expect(begun.results[0]).rejects.toMatchObject({ code: 'ERR_ABORTED' }),
      ]);
      expect(beginning).toHaveBeenCalledTimes(2);
    } finally {
      beginning.mockRestore();
      await runner.close();
    }
  });

  it('closes when its last score has ended', async () => {
    const target = await loadBundled('large');
    let release = (): void => {};
    const score = new Promise<Float32Array>((resolve) => {
      release = () => resolve(new Float32Array(4));
    });
    const scoring = vi.spyOn(target.nativeModel(), 'score').mockReturnValue(score);
    const session = await createSession({
      ...{ target, draft: chain(base, { length: 4 }), strategy: 'sequence-cascade' },
      ...{ cascade: { threshold: -Infinity }, maxNewTokens: 4 },
    });
    const closing = vi.spyOn(EngineRunner.prototype, 'close');
    try {
      const ends: string[] = [];
      const work = caught(session.generate(texts[0]!, { logprobs: true }));
      void work.then(({ code }) => ends.push(code));
      await expect.poll(() => scoring).toHaveBeenCalledOnce();
      const closed = session.close().then(() => ends.push('closed'));
      await Promise.all(closing.mock.results.map(({ value }) => value as Promise<void>));
      await setImmediate(); // whoever waits for the engines alone has gone on
      expect(ends).toEqual([]);
      release();
      await Promise.all([closed, work]);
      expect(ends.toSorted()).toEqual(['ERR_ABORTED', 'closed']);
    } finally {
      closing.mockRestore();
      release();
      await session.close();
      await target.dispose();
    }
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
