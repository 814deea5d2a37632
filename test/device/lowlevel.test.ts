/** Single operations by the device's kernels: what the CPU gives for the same numbers. */
import { describe, expect, it } from 'vitest';
import { chow, diff, lossless, lossy, opt, tokenV1, tokenV3, type Rule } from '../../lib/index.ts';
import { bench, targetDistribution, verify, type VerifyOptions } from '../../lib/lowlevel.ts';
import { concatenate, logitsOf, type Gen } from '../support/vectors/generator.ts';
import { device } from '../support/models.ts';

const rules: [string, Rule][] = [
  ['lossless', lossless()],
  ['lossy', lossy({ alpha: 0.4 })],
  ['chow', chow({ alpha: 0.4 })],
  ['diff', diff({ alpha: 0.2 })],
  ['opt, log', opt({ alpha: 0.5, loss: 'log' })],
  ['tokenV1', tokenV1({ alpha: 0.2 })],
  ['tokenV3', tokenV3({ alpha: 0.5 })],
];
const vocab = 37;
const gen: Gen = { seed: 77, V: vocab, sp: 3, sn: [1] };

/** Logits of a model after some prefixes, one row after another. */
const rowsOf = (model: number, prefixes: number[][]): Float32Array =>
  Float32Array.from(concatenate(prefixes.map((prefix) => logitsOf(gen, model, prefix))));

/** The target's most probable tokens after a prefix, best first. */
function bestTokens(prefix: number[]): number[] {
  const row = logitsOf(gen, 0, prefix);
  return [...row.keys()].sort((a, b) => row[b]! - row[a]!);
}

/** A probable token for every node, other than its siblings'; and the prefixes of all places. */
function candidates(parents: number[], seed: number): { tokens: number[]; places: number[][] } {
  const places: number[][] = [[]];
  const tokens = parents.map((parent, node) => {
    const before = parents.slice(0, node).filter((other) => other === parent).length;
    const token = bestTokens(places[parent + 1]!)[before + (seed % 3)]!;
    places.push([...places[parent + 1]!, token]);
    return token;
  });
  return { tokens, places };
}

describe.each(rules)(`%s on ${device}`, (_, rule) => {
  const prefixes = [[], [1], [1, 2]];
  const [target, drafter] = [rowsOf(0, prefixes), rowsOf(1, prefixes)];
  const shape = { rows: prefixes.length, vocab };

  it.each([
    ['temperature 1', {}],
    ['filters', { temperature: 0.7, topK: 9, topP: 0.8 }],
    ['temperature 0', { temperature: 0 }],
  ])('pi: %s', (_name, scaling) => {
    const options = { ...shape, ...scaling };
    const own = targetDistribution(rule, drafter, target, { ...options, device });
    const expected = targetDistribution(rule, drafter, target, options);
    own.forEach((p, v) => expect(p).toBeCloseTo(expected[v]!, 5));
  });

  it('pi of probabilities', () => {
    const plain = (rows: Float32Array) => targetDistribution(lossless(), null, rows, shape);
    const given = { ...shape, input: 'probabilities' } as const;
    const rows = [plain(drafter), plain(target)] as const;
    for (const temperature of [1, 0.6]) {
      const own = targetDistribution(rule, ...rows, { ...given, temperature, device });
      const expected = targetDistribution(rule, ...rows, { ...given, temperature });
      own.forEach((p, v) => expect(p).toBeCloseTo(expected[v]!, 5));
    }
  });

  const chain = [-1, 0, 1, 2];
  const tree = [-1, -1, 0, 0, 1, 2, 4];
  it.each<[string, number[], Partial<VerifyOptions>]>([
    ['a chain by token', chain, { verifier: 'token' }],
    ['a chain as a block', chain, { verifier: 'block' }],
    ['a chain without chance', chain, { proposals: 'fixed' }],
    ['a chain of given rows', chain, { proposals: new Float32Array(chain.length * vocab) }],
    ['a tree', tree, {}],
    ['a tree with replacement', tree, { replacement: true }],
    ['a tree without chance', tree, { proposals: 'fixed' }],
    ['a tree by traversal', tree, { verifier: 'traversal' }],
    ['a greedy tree', tree, { temperature: 0 }],
    ['a tree whose siblings stand apart', [-1, 0, -1, 1, 0, 2], {}],
    ['the same, greedy', [-1, 0, -1, 1, 0, 2], { temperature: 0 }],
    ['the same by traversal', [-1, 0, -1, 1, 0, 2], { verifier: 'traversal' }],
    ['a filtered chain', chain, { temperature: 0.8, topK: 12, topP: 0.9 }],
    ['nothing', [], {}],
  ])('verifies %s', (_name, parents, options) => {
    let accepted = 0;
    for (let seed = 0; seed < 12; seed += 1) {
      const { tokens, places } = candidates(parents, seed);
      // Every second time the models agree, so that drafts are accepted.
      const logits = [rowsOf(0, places), rowsOf(seed % 2, places)] as const;
      const step: VerifyOptions = {
        ...{ rule, vocab, seed, position: 5, step: 2, ...options },
        ...{ parents: Int32Array.from(parents), tokens: Int32Array.from(tokens) },
        ...{ targetLogits: logits[0], drafterLogits: logits[1] },
        stopTokens: Int32Array.of(11),
      };
      if (options.proposals instanceof Float32Array) {
        step.proposals = targetDistribution(
          lossless(),
          null,
          logits[1].subarray(0, parents.length * vocab),
          {
            ...{ rows: parents.length, vocab },
          },
        );
      }
      const own = verify({ ...step, device });
      const expected = verify(step);
      expect(own.accepted).toEqual(expected.accepted);
      expect(own.next).toBe(expected.next);
      expect(own.deferral).toHaveLength(expected.deferral.length);
      own.deferral.forEach((delta, i) => expect(delta).toBeCloseTo(expected.deferral[i]!, 4));
      accepted += own.accepted.length;
    }
    if (parents.length > 0 && options.temperature !== 0) expect(accepted).toBeGreaterThan(0);
  });
});

it(`a long chain on ${device} ends at its first token to stop at`, () => {
  const tokens = Int32Array.from({ length: 40 }, (_, node) => node % 30);
  tokens[3] = 35;
  tokens[36] = 36;
  const targetLogits = new Float32Array((tokens.length + 1) * vocab);
  for (const [node, token] of tokens.entries()) targetLogits[node * vocab + token] = 50;
  const step: VerifyOptions = {
    ...{ rule: lossless(), vocab, tokens, targetLogits, proposals: 'fixed' },
    ...{ parents: tokens.map((_, node) => node - 1), stopTokens: Int32Array.of(36, 35) },
  };
  for (const one of [step, { ...step, device }]) {
    expect(verify(one)).toMatchObject({ accepted: Int32Array.of(0, 1, 2, 3), next: -1 });
  }
});

describe(`times on ${device}`, () => {
  it.each([
    ['read', { bytes: 1 << 16 }, 'f32'],
    ['multiplyAdd', {}, 'bf16'],
    ['multiplyAdd', {}, 'f32'],
    ['gemm', { rows: 3, n: 40, k: 64 }, 'f32'],
    ['gemm', { rows: 3, n: 40, k: 64 }, 'bf16'],
    ['gemm', { rows: 3, n: 40, k: 64 }, 'f16'],
    ['gemm', { rows: 3, n: 40, k: 64 }, 'int8'],
    ['attention', { rows: 2, keys: 5, heads: 2, headDim: 16 }, 'f32'],
    ['norm', { rows: 3, width: 64 }, 'f32'],
    ['softmax', { rows: 3, width: 500 }, 'f32'],
  ])('%s %o in %s', (op, shape, dtype) => {
    const own = bench(op, shape, { device, dtype, repeats: 2 });
    expect(own.msMin).toBeGreaterThan(0);
    expect(own.msMedian).toBeGreaterThanOrEqual(own.msMin);
    // The work is the same on the CPU, but for the form of packed weights.
    if (dtype === 'f16' || op === 'multiplyAdd') return;
    const here = bench(op, shape, { dtype, repeats: 1 });
    expect(own.flops).toBe(here.flops);
    if (op !== 'gemm') expect(own.bytes).toBe(here.bytes);
  });
});

describe(`what ${device} takes no part in`, () => {
  const codeOf = (call: () => unknown): unknown => {
    try {
      call();
    } catch (error) {
      return (error as { code?: unknown }).code;
    }
    return 'none';
  };
  const rows = rowsOf(0, [[], [1]]);
  const step: VerifyOptions = {
    ...{ rule: lossless(), vocab, targetLogits: rows, drafterLogits: rows, device },
    ...{ parents: Int32Array.of(-1), tokens: Int32Array.of(3) },
  };
  it.each<[string, Partial<VerifyOptions>]>([
    ['uniforms', { uniforms: Float64Array.of(0.5, 0.5) }],
    ['absent rows', { drafterRows: Uint8Array.of(1, 0) }],
    ['other requests', { request: 1 }],
    [
      'more than 255 candidates',
      {
        ...{ parents: Int32Array.from({ length: 256 }, (_row, i) => i - 1) },
        ...{ tokens: new Int32Array(256).fill(3) },
        targetLogits: new Float32Array(257 * vocab),
        drafterLogits: new Float32Array(257 * vocab),
      },
    ],
    [
      'double precision',
      { targetLogits: Float64Array.from(rows), drafterLogits: Float64Array.from(rows) },
    ],
  ])('%s', (_, options) => {
    expect(codeOf(() => verify(step))).toBe('none');
    expect(codeOf(() => verify({ ...step, ...options }))).toBe('ERR_DEVICE');
  });
});
