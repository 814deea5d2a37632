/** Drafters and cascades through sessions: what they may be told, and that counters add up. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  adaptive,
  bild,
  chain,
  chow,
  createSession,
  csDraft,
  dynamicTree,
  lossless,
  lossy,
  maxGram,
  opt,
  tokenV3,
  tree,
  type Drafter,
  type Result,
  type Rule,
  type SessionOptions,
  type T5Model,
} from '../lib/index.ts';
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
    [
      'adaptive of a model',
      () => adaptive(model() as never),
      /adaptive: .*received an object \(T5Model\)/,
    ],
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
    ['nine drafters', () => csDraft(Array.from({ length: 8 }, model), { lengths: [[4]] }), /at most 8 drafters.*received 9/], // prettier-ignore
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
    ['a confidence of copies', () => adaptive(maxGram(), { confidence: 0.5 }), /confidence: expected 0 with maxGram/], // prettier-ignore
    ['a confidence of a cascade', () => adaptive(csDraft([model()], { lengths: [[2]], maxGram: false }), { confidence: 0.5 }), /csDraft/], // prettier-ignore
    ['a confidence of 2', () => adaptive(chain(model(), { length: 3 }), { confidence: 2 }), /confidence/], // prettier-ignore
    ['misspelt options', () => dynamicTree(model(), { nodes: 3, deep: 2 } as never), /deep/],
    ['widths with a hole', () => tree(model(), { widths: new Array<number>(2) }), /widths\[0\].*undefined/], // prettier-ignore
    ['lengths with a hole', () => csDraft([model()], { lengths: [[4, 1], new Array<number>(2)] }), /lengths\[1\]\[0\].*undefined/], // prettier-ignore
    ['models with a hole', () => csDraft(new Array<T5Model>(2), { lengths: [[4]] }), /models\[0\].*undefined/], // prettier-ignore
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
    ['blocks of nothing', () => ({ target: large, verifier: 'block' }), /without a drafter.*"block"/], // prettier-ignore
    ['k-seq of nothing', () => ({ target: large, verifier: 'k-seq' }), /without a drafter/],
    ['traversal of nothing', () => ({ target: large, verifier: 'traversal' }), /without a drafter/],
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
    ['a rule that is none, of a cascade', () => ({ ...drafted(), rule: 5 as never, strategy: 'token-cascade' }), /rule.*5/], // prettier-ignore
    ['a threshold of a token cascade', () => ({ ...drafted(), rule: chow({ alpha: 0 }), strategy: 'token-cascade', cascade: { threshold: 1 } }), /maxRun/], // prettier-ignore
  ])('%s', async (_, options, message) => {
    await expect(createSession(options())).rejects.toThrow(message);
    await expect(createSession(options())).rejects.toMatchObject({ code: 'ERR_INPUT' });
  });
});

describe('written by hand', () => {
  const handed = (draft: unknown, rule: unknown = { rule: 'lossless' }): SessionOptions => ({
    ...{ target: large, maxNewTokens: 8 },
    ...{ draft: draft as Drafter, rule: rule as Rule },
  });
  const three = () => ({ drafter: 'chain', model: base, length: 3 });

  it.each<[string, () => SessionOptions, RegExp]>([
    ['a rule', () => handed(three(), { rule: 'opt', alpha: 0.1, lsos: 'log' }), /opt: .*alpha, loss, received "lsos"/], // prettier-ignore
    ['a rule without parameters', () => handed(three(), { rule: 'lossless', alpha: 0 }), /lossless: expected no options, received "alpha"/], // prettier-ignore
    ['BiLD', () => handed(three(), { rule: 'bild', rollback: 1, fallback: 2 }), /bild fallback.*2/],
    ['a parameter that is missing', () => handed(three(), { rule: 'lossy' }), /lossy alpha.*undefined/], // prettier-ignore
    ['a chain', () => handed({ ...three(), lenght: 3 }), /chain.*received "lenght"/],
    ['a chain of no model', () => handed({ drafter: 'chain', length: 3 }), /T5Model, received undefined/], // prettier-ignore
    ['a tree', () => handed({ drafter: 'tree', source: base, widths: [2], replacment: true }), /tree.*"replacment"/], // prettier-ignore
    ['a tree without widths', () => handed({ drafter: 'tree', source: base }), /widths.*undefined/],
    ['the source of a tree', () => handed({ drafter: 'tree', source: { drafter: 'maxGram', size: 3 }, widths: [2] }), /maxGram.*"size"/], // prettier-ignore
    ['a dynamic tree', () => handed({ drafter: 'dynamicTree', model: base, nodes: 4, deep: 2 }), /dynamicTree.*"deep"/], // prettier-ignore
    ['Max-Gram', () => handed({ drafter: 'maxGram', bigram: null }), /maxGram.*"bigram"/],
    ['a cascade', () => handed({ drafter: 'csDraft', models: [base], lengths: [[2]], maxGram: null, lenient: 2 }), /csDraft.*"lenient"/], // prettier-ignore
    ['what stands below a cascade', () => handed({ drafter: 'csDraft', models: [base], lengths: [[2]], maxGram: 0 }), /maxGram.*received 0/], // prettier-ignore
    ['a model in its place', () => handed(base), /draft: expected a drafter such as chain\(\), received an object \(T5Model\)/], // prettier-ignore
    ['the chain of a token cascade', () => ({ ...handed({ ...three(), lenght: 3 }, chow({ alpha: 0.3 })), strategy: 'token-cascade' }), /chain.*"lenght"/], // prettier-ignore
    ['a cascade of no models', () => handed({ drafter: 'csDraft', lengths: [[2]] }), /at least one T5Model/], // prettier-ignore
    [
      'adaptive',
      () => handed({ drafter: 'adaptive', source: three(), most: 3 }),
      /adaptive.*"most"/,
    ],
    ['the source of adaptive', () => handed({ drafter: 'adaptive', source: { ...three(), max: 3 } }), /chain.*"max"/], // prettier-ignore
  ])('%s is checked when the session is created', async (_, options, message) => {
    await expect(createSession(options())).rejects.toThrow(message);
    await expect(createSession(options())).rejects.toMatchObject({ code: 'ERR_INPUT' });
  });

  it('a fallback of BiLD with a cascade of drafters', async () => {
    const draft = csDraft([base, small], { lengths: [[3, 2], [0, 2]], maxGram: false }); // prettier-ignore
    const rule = bild({ rollback: 1, fallback: 0.5 });
    const message = 'bild fallback: expected 0 with csDraft(), received 0.5';
    await expect(createSession({ target: large, draft, rule })).rejects.toThrow(message);
    await using session = await createSession({ target: large, draft });
    await expect(session.generate('A dog.', { rule })).rejects.toThrow(message);
  });

  it('descriptions may leave out what has a default', async () => {
    const text = captions(1)[0]!;
    for (const [written, made] of [
      [handed(three(), { rule: 'bild', rollback: 1 }), handed(chain(base, { length: 3 }), bild({ rollback: 1 }))], // prettier-ignore
      [handed(three(), { rule: 'chow', alpha: 0.3 }), handed(chain(base, { length: 3 }), chow({ alpha: 0.3 }))], // prettier-ignore
      [handed({ drafter: 'tree', source: base, widths: [2] }), handed(tree(base, { widths: [2] }))],
      [handed({ drafter: 'maxGram' }), handed(maxGram())],
      [handed({ drafter: 'csDraft', models: [base], lengths: [[3]], maxGram: null }), handed(csDraft([base], { lengths: [[3]], maxGram: false }))], // prettier-ignore
    ] as const) {
      await using one = await createSession(written);
      await using other = await createSession(made);
      const { stats, tokens } = await one.generate(text);
      const expected = await other.generate(text);
      expect(tokens).toEqual(expected.tokens);
      expect(stats.draftCalls).toEqual(expected.stats.draftCalls);
    }
  });

  it('a length that is undefined counts as left out', () => {
    const lengthOf = (maxGram: object | undefined) =>
      csDraft([base], { lengths: [[3, 3], [0, 3]], maxGram }).maxGram!.length; // prettier-ignore
    const forms = [undefined, {}, { length: undefined }, { length: null }];
    expect(forms.map(lengthOf)).toEqual(forms.map(() => 255));
  });

  it('a beta that falls short of 1 - alpha by rounding alone counts as that', () => {
    expect(1 - 0.7).toBeGreaterThan(0.3);
    expect(lossy({ alpha: 0.7, beta: 0.3 })).toEqual({ rule: 'lossy', alpha: 0.7, beta: 1 - 0.7 });
    for (let percent = 0; percent < 100; percent += 1) {
      const { alpha, beta } = lossy({ alpha: percent / 100, beta: (100 - percent) / 100 });
      expect(beta).toBeGreaterThanOrEqual(1 - alpha);
    }
    expect(() => lossy({ alpha: 0.7, beta: 0.29 })).toThrow('>= 1 - alpha = 0.3, received 0.29');
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
