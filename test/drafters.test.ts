/** Drafters and cascades through sessions: what they may be told, and that counters add up. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  adaptive,
  chain,
  chow,
  createSession,
  csDraft,
  dynamicTree,
  lossless,
  maxGram,
  opt,
  tokenV3,
  tree,
  type Result,
  type SessionOptions,
  type T5Model,
} from '../lib/index.ts';
import { sequenceScore } from '../lib/session/sequence-cascade.ts';
import { captions, loadBundled } from './support/models.ts';

let large: T5Model;
let base: T5Model;
let small: T5Model;

beforeAll(async () => {
  [large, base, small] = await Promise.all([
    loadBundled('large'),
    loadBundled('base'),
    loadBundled('small'),
  ]);
});
afterAll(async () => {
  await Promise.all([large, base, small].map((model) => model.dispose()));
});

describe('ERR_INPUT tells what makes no sense', () => {
  const model = (): T5Model => base;
  it.each<[string, () => unknown, RegExp]>([
    ['csDraft without models', () => csDraft([], { lengths: [] }), /at least one T5Model/],
    [
      'a matrix too small',
      () => csDraft([model()], { lengths: [[4]] }),
      /lengths: expected 2 rows/,
    ],
    ['a ragged matrix', () => csDraft([model()], { lengths: [[4, 4], [3]] }), /lengths\[1\]/], // prettier-ignore
    ['a full matrix', () => csDraft([model()], { lengths: [[4, 4], [1, 3]] }), /upper triangular/], // prettier-ignore
    ['no length at all', () => csDraft([model()], { lengths: [[0, 0], [0, 3]] }), /sum of lengths\[0\]/], // prettier-ignore
    ['too long a draft', () => csDraft([model()], { lengths: [[200, 56], [0, 3]] }), /256/], // prettier-ignore
    ['a NaN length', () => csDraft([model()], { lengths: [[NaN, 4], [0, 3]] }), /NaN/], // prettier-ignore
    ['lenience below 1', () => csDraft([model()], { lengths: [[4]], maxGram: false, lenience: 0.5 }), /lenience/], // prettier-ignore
    ['no nodes', () => dynamicTree(model(), { nodes: 0 }), /nodes/],
    ['deeper than nodes', () => dynamicTree(model(), { nodes: 3, depth: 4 }), /depth/],
    ['no length', () => maxGram({ length: 0 }), /length/],
    ['bigrams of a list', () => maxGram({ bigrams: [1] as never }), /Int32Array/],
    ['Max-Gram with replacement', () => tree(maxGram(), { widths: [2], replacement: true }), /draws nothing/], // prettier-ignore
    [
      'adaptive trees',
      () => adaptive(tree(model(), { widths: [2] }) as never),
      /chain\(\), maxGram/,
    ],
    ['a confidence of 2', () => adaptive(chain(model(), { length: 3 }), { confidence: 2 }), /confidence/], // prettier-ignore
    ['misspelt options', () => dynamicTree(model(), { nodes: 3, deep: 2 } as never), /deep/],
  ])('%s', (_, make, message) => {
    expect(make).toThrow(message);
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_INPUT' }) as Error);
  });

  const drafted = (): SessionOptions => ({ target: large, draft: chain(base, { length: 3 }) });
  it.each<[string, () => SessionOptions, RegExp]>([
    ['a rule with Max-Gram alone', () => ({ target: large, draft: maxGram(), rule: opt({ alpha: 0 }) }), /a model that drafts/], // prettier-ignore
    ['k-seq on a chain', () => ({ ...drafted(), verifier: 'k-seq' }), /drawn with replacement/],
    ['k-seq without replacement', () => ({ target: large, draft: tree(base, { widths: [2] }), verifier: 'k-seq' }), /drawn with replacement/], // prettier-ignore
    ['traversal of a chain', () => ({ ...drafted(), verifier: 'traversal' }), /block for a chain/],
    ['blocks of a dynamic tree', () => ({ target: large, draft: dynamicTree(base, { nodes: 4 }), verifier: 'block' }), /block/], // prettier-ignore
    ['cascade options of speculation', () => ({ ...drafted(), cascade: {} }), /cascade/],
    ['a lossless token cascade', () => ({ ...drafted(), strategy: 'token-cascade' }), /chow/],
    ['a token cascade of a tree', () => ({ target: large, draft: tree(base, { widths: [2] }), rule: chow({ alpha: 0.1 }), strategy: 'token-cascade' }), /chain\(\)/], // prettier-ignore
    ['a sequence cascade without a model', () => ({ target: large, strategy: 'sequence-cascade' }), /chain\(\)/], // prettier-ignore
    ['a rule for a sequence cascade', () => ({ ...drafted(), rule: chow({ alpha: 0 }), strategy: 'sequence-cascade' }), /threshold decides/], // prettier-ignore
    ['a verifier of a cascade', () => ({ ...drafted(), rule: chow({ alpha: 0 }), strategy: 'token-cascade', verifier: 'token' }), /verifies nothing/], // prettier-ignore
    ['a NaN threshold', () => ({ ...drafted(), strategy: 'sequence-cascade', cascade: { threshold: NaN } }), /threshold/], // prettier-ignore
    ['a quantile of a probability', () => ({ ...drafted(), strategy: 'sequence-cascade', cascade: { quantile: 0.1 } }), /quantile/], // prettier-ignore
    ['a run without an end', () => ({ ...drafted(), rule: chow({ alpha: 0 }), strategy: 'token-cascade', cascade: { maxRun: 0 } }), /maxRun/], // prettier-ignore
    ['a threshold of a token cascade', () => ({ ...drafted(), rule: chow({ alpha: 0 }), strategy: 'token-cascade', cascade: { threshold: 1 } }), /maxRun/], // prettier-ignore
  ])('%s', async (_, options, message) => {
    await expect(createSession(options())).rejects.toThrow(message);
    await expect(createSession(options())).rejects.toMatchObject({ code: 'ERR_INPUT' });
  });
});

describe('counters', () => {
  const texts = captions(12);
  const shapes = (): [string, Partial<SessionOptions>, number][] => [
    ['chain', { draft: chain(base, { length: 4 }) }, 1],
    ['tree', { draft: tree(base, { widths: [3, 2] }) }, 1],
    ['dynamic tree', { draft: dynamicTree(base, { nodes: 8 }) }, 1],
    ['Max-Gram', { draft: maxGram() }, 1],
    ['cascade', { draft: csDraft([base, small], { lengths: [[4, 3, 3], [0, 2, 2], [0, 0, 2]] }) }, 3], // prettier-ignore
    ['adaptive', { draft: adaptive(chain(base, { length: 6 })) }, 1],
  ];

  function checkSums(results: Result[], drafters: number, name: string): void {
    for (const { stats, tokens } of results) {
      const { proposed, tested, accepted, targetCalls } = stats;
      const rejected = tested - accepted;
      expect(rejected, name).toBeGreaterThanOrEqual(0);
      // At most one position is refused per pass of the target.
      expect(rejected, name).toBeLessThanOrEqual(targetCalls);
      expect(proposed - accepted - rejected, name).toBeGreaterThanOrEqual(0);
      expect(tokens.length, name).toBeLessThanOrEqual(accepted + targetCalls);
      expect(tokens.length, name).toBeGreaterThanOrEqual(accepted);
      expect(stats.draftCalls, name).toHaveLength(drafters);
      expect(stats.acceptanceRate, name).toBeCloseTo(tested > 0 ? accepted / tested : 0, 12);
      expect(stats.blockEfficiency, name).toBeCloseTo(tokens.length / targetCalls, 12);
    }
  }

  it.each([0, 1])('add up at temperature %i, and over the session', async (temperature) => {
    for (const [name, options, drafters] of shapes()) {
      for (const rule of name === 'Max-Gram'
        ? [lossless()]
        : [lossless(), tokenV3({ alpha: 0.3 })]) {
        const sampling = { temperature, seed: 3 };
        await using session = await createSession({ target: large, ...options, rule, sampling });
        const results = await session.generate(texts);
        checkSums(results, drafters, name);
        const { totals } = session.stats();
        const sum = (pick: (stats: Result['stats']) => number): number =>
          results.reduce((total, { stats }) => total + pick(stats), 0);
        for (const key of ['proposed', 'tested', 'accepted', 'targetCalls'] as const) {
          expect(totals[key], `${name} ${key}`).toBe(sum((stats) => stats[key]));
        }
        totals.draftCalls.forEach((calls, i) => {
          expect(calls, name).toBe(sum((stats) => stats.draftCalls[i]!));
        });
        expect(results.some(({ stats }) => stats.deferralRate !== null)).toBe(
          rule.rule !== 'lossless',
        );
      }
    }
  });
});

describe('a token cascade', () => {
  it("has the speculative cascade's greedy output, with the target called where Chow defers", async () => {
    const texts = captions(24);
    for (const alpha of [0.05, 0.3, 0.6]) {
      const common = { target: large, draft: chain(base, { length: 4 }), rule: chow({ alpha }) };
      await using speculative = await createSession(common);
      await using cascade = await createSession({ ...common, strategy: 'token-cascade' });
      const expected = await speculative.generate(texts, { logprobs: true });
      const plain = await cascade.generate(texts);
      const logged = await cascade.generate(texts, { logprobs: true });
      expect(plain.map(({ tokens }) => tokens)).toEqual(expected.map(({ tokens }) => tokens));
      expect(logged.map(({ logprobs }) => logprobs)).toEqual(
        expected.map(({ logprobs }) => logprobs),
      );
      for (const { stats, tokens } of plain) {
        expect(stats.tested).toBe(stats.accepted);
        expect(stats.targetCalls).toBeGreaterThanOrEqual(tokens.length - stats.accepted);
      }
    }
  });

  it('asks the target at every token where the rule has to see its row', async () => {
    const draft = chain(base, { length: 4 });
    const rule = opt({ alpha: 0.2 });
    await using cascade = await createSession({
      target: large,
      draft,
      rule,
      strategy: 'token-cascade',
    });
    await using speculative = await createSession({ target: large, draft, rule });
    for (const text of captions(6)) {
      const { tokens, stats } = await cascade.generate(text);
      expect(tokens).toEqual((await speculative.generate(text)).tokens);
      expect(stats).toMatchObject({ targetCalls: tokens.length, draftCalls: [tokens.length] });
    }
  });
});

describe('a sequence cascade', () => {
  const texts = captions(16);
  const open = (threshold: number): Promise<Awaited<ReturnType<typeof createSession>>> =>
    createSession({
      target: large,
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
      const again = await session.generate(texts[1]!, sampled);
      expect(again[0]!.seed).toBe(seed);
    }
    await expect(never.generate(texts, { signal: AbortSignal.abort('no') })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
    const late = always.generate(texts, { maxNewTokens: 100 }).catch((error: unknown) => error);
    await always.close();
    expect(await late).toMatchObject({ code: expect.stringMatching(/ABORTED|CLOSED/) as string });
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
