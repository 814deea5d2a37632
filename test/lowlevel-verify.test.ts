/** verify(): small steps worked by hand, the places where acceptance is delicate, float and double. */
import { describe, expect, it } from 'vitest';
import { chow, lossless, opt, tokenV2, type Rule } from '../lib/index.ts';
import { philox, targetDistribution, verify, type VerifyOptions } from '../lib/lowlevel.ts';
import { concatenate, logitsOf, type Gen } from './support/vectors/generator.ts';

const logs = (...rows: number[][]): Float64Array => Float64Array.from(rows.flat(), Math.log);
const chainOf = (length: number): Int32Array => Int32Array.from({ length }, (_, i) => i - 1);
const ints = (...values: number[]): Int32Array => Int32Array.from(values);
const doubles = (...values: number[]): Float64Array => Float64Array.from(values);
const outcome = (options: VerifyOptions): { accepted: number[]; next: number } => {
  const { accepted, next } = verify(options);
  return { accepted: Array.from(accepted), next };
};

// Target (1/2, 1/4, 1/4) everywhere, drafter (1/4, 1/2, 1/4): token 1 is accepted with 1/2.
const p = [0.5, 0.25, 0.25];
const q = [0.25, 0.5, 0.25];
const two: VerifyOptions = {
  rule: lossless(),
  vocab: 3,
  parents: chainOf(2),
  tokens: ints(1, 2),
  targetLogits: logs(p, p, p),
  drafterLogits: logs(q, q, q),
  verifier: 'token',
};

describe('verify on a chain', () => {
  it.each([
    // u of node 0, u of node 1, w: the residual of node 0 is all on token 0.
    [[0.49, 0.99, 0.6], [0, 1], 1],
    [[0.49, 0.99, 0.49], [0, 1], 0],
    [[0.5, 0, 0.99], [], 0],
  ])('with uniforms %o accepts %o, then %d', (uniforms, accepted, next) => {
    expect(outcome({ ...two, uniforms: doubles(...uniforms) })).toEqual({ accepted, next });
  });

  it('tests as a block unless told otherwise, which accepts what tokens would not', () => {
    // w_1 = 1/2, S_1 = 0 but w_2 = 1/2 again: u_2 alone decides.
    const uniforms = doubles(0.9, 0.4, 0.9);
    expect(outcome({ ...two, uniforms }).accepted).toEqual([]);
    const auto = { ...two };
    delete auto.verifier;
    expect(outcome({ ...auto, uniforms }).accepted).toEqual([0, 1]);
    expect(outcome({ ...two, verifier: 'block', uniforms }).accepted).toEqual([0, 1]);
  });

  it('stops at an accepted stop token', () => {
    const uniforms = doubles(0.1, 0.1, 0.9);
    for (const verifier of ['token', 'block'] as const) {
      const stopped = outcome({ ...two, verifier, uniforms, stopTokens: ints(1) });
      expect(stopped).toEqual({ accepted: [0], next: -1 });
    }
  });

  it('draws plainly from pi without candidates, by inverse CDF', () => {
    const none = { ...two, parents: ints(), tokens: ints() };
    const rows = { targetLogits: logs(p), drafterLogits: logs(q) };
    for (const [w, next] of [
      [0, 0],
      [0.4999, 0],
      [0.5, 1],
      [0.75, 2],
      [1 - 2 ** -53, 2],
    ] as const) {
      const { accepted, deferral } = verify({ ...none, ...rows, uniforms: doubles(w) });
      expect(verify({ ...none, ...rows, uniforms: doubles(w) }).next).toBe(next);
      expect([accepted.length, deferral.length]).toEqual([0, 0]);
    }
  });

  it('draws from the target alone where nothing was drafted', () => {
    const targetLogits = Float32Array.of(0, 1, 2);
    const alone = { rule: lossless(), vocab: 3, parents: ints(), tokens: ints(), targetLogits };
    expect(verify(alone)).toEqual(verify({ ...alone, proposals: 'fixed' }));
    const ofRule = { ...alone, rule: chow({ alpha: 0.1 }) };
    expect(() => verify(ofRule)).toThrow('drafterLogits: expected rows, which the rule chow reads');
  });

  it('never draws an impossible token, however near to 1 the uniform is', () => {
    const masked = Float32Array.of(0, 0, -Infinity);
    const options = { ...two, parents: ints(), tokens: ints(), targetLogits: masked };
    const uniforms = doubles(1 - 2 ** -53);
    expect(verify({ ...options, drafterLogits: masked, uniforms }).next).toBe(1);
  });
});

it.each(['zero-one', 'log'] as const)('opt of infinite alpha (%s) defers nowhere', (loss) => {
  const rule = opt({ alpha: Infinity, loss });
  const uniforms = doubles(0, 0, 0);
  for (const targetLogits of [logs(q, q, q), logs(p, p, p)]) {
    const { deferral } = verify({ ...two, rule, targetLogits, uniforms });
    expect([...deferral]).toEqual([0, 0]);
  }
});

describe('verify with other proposals', () => {
  it('accepts fixed candidates with pi(token)', () => {
    const fixed = { ...two, proposals: 'fixed' as const };
    const at = (...uniforms: number[]) => outcome({ ...fixed, uniforms: doubles(...uniforms) });
    expect(at(0.24, 0.24, 0.9)).toEqual({ accepted: [0, 1], next: 2 });
    expect(at(0.25, 0, 0.6)).toEqual({ accepted: [], next: 0 }); // (2/3, 0, 1/3)
    expect(at(0.25, 0, 0.7)).toEqual({ accepted: [], next: 2 });
  });

  it('takes one-hot rows for the same', () => {
    const rows = doubles(...[0, 1, 0], ...[0, 0, 1]);
    for (const verifier of ['token', 'block'] as const) {
      for (let i = 0; i < 200; i += 1) {
        const address = { seed: i, position: 3, step: i };
        const fixed = outcome({ ...two, verifier, proposals: 'fixed', ...address });
        expect(outcome({ ...two, verifier, proposals: rows, ...address })).toEqual(fixed);
      }
    }
  });

  it('needs no drafter for lossless()', () => {
    const alone = { ...two };
    delete alone.drafterLogits;
    const proposals = doubles(...q, ...q);
    for (let seed = 0; seed < 50; seed += 1) {
      expect(outcome({ ...alone, proposals, seed })).toEqual(outcome({ ...two, seed }));
      expect(outcome({ ...alone, proposals: 'fixed', seed }).next).toBeLessThan(3);
    }
  });

  it('tests siblings in order, with and without replacement', () => {
    // Node 0 is accepted with 1/2; then t = (1, 0, 0), so only token 0 is.
    const siblings = { ...two, parents: ints(-1, -1), targetLogits: logs(p, p, p) };
    const uniforms = doubles(0.6, 0, 0);
    const again = { ...siblings, tokens: ints(1, 1), replacement: true, uniforms };
    expect(outcome(again)).toEqual({ accepted: [], next: 0 });
    const other = { ...siblings, tokens: ints(1, 0), uniforms };
    expect(outcome(other)).toEqual({ accepted: [1], next: 0 });
    expect(outcome({ ...other, replacement: true })).toEqual({ accepted: [1], next: 0 });
  });
});

describe('verify and rules', () => {
  it('reports deferral per tested position', () => {
    const uniforms = doubles(0.9, 0.9, 0.5);
    const deferred = (rule: Rule) => Array.from(verify({ ...two, rule, uniforms }).deferral);
    expect(deferred(lossless())).toEqual([0]);
    expect(deferred(chow({ alpha: 0.6 }))).toEqual([0, 0]);
    expect(deferred(chow({ alpha: 0.4 }))).toEqual([1]);
    expect(deferred(tokenV2({ alpha: 0.1 }))).toEqual([0.75]); // only token 0 is kept
  });

  it('takes pi = target where the drafter has no row', () => {
    // Chow with alpha 1 keeps the drafter everywhere else: node 0 is certain, node 1 is not.
    const rule = chow({ alpha: 1 });
    const tokens = ints(1, 1);
    const proposals = doubles(...q, ...q);
    const drafterRows = Uint8Array.of(1, 0, 1);
    const absent = doubles(...two.drafterLogits!).fill(NaN, 3, 6);
    const options = { ...two, rule, tokens, proposals, drafterRows, drafterLogits: absent };
    const { accepted, next, deferral } = verify({ ...options, uniforms: doubles(0.99, 0.5, 0.9) });
    expect([Array.from(accepted), next, Array.from(deferral)]).toEqual([[0], 0, [0, 1]]);
  });

  it('draws the token after a whole draft from pi, which reads the leaf row', () => {
    const rule = chow({ alpha: 1 });
    const leaf = Float64Array.from([...logs(q, q), ...logs([1, 0, 0])]);
    const uniforms = doubles(0.9, 0.9, 0.9);
    expect(outcome({ ...two, rule, drafterLogits: leaf, uniforms })).toEqual({
      accepted: [0, 1],
      next: 0,
    });
  });
});

describe('verify where acceptance is delicate', () => {
  it('counts a token that its row cannot draw as accepted if it is wanted, else as rejected', () => {
    const drafterLogits = logs([0, 0.5, 0.5], q, q);
    const wanted = { ...two, drafterLogits, tokens: ints(0, 1), uniforms: doubles(0.99, 0.9, 0) };
    for (const verifier of ['token', 'block'] as const) {
      expect(outcome({ ...wanted, verifier }).accepted).toEqual([0]);
      const unwanted = { ...wanted, verifier, targetLogits: logs([0, 0.5, 0.5], p, p) };
      expect(outcome({ ...unwanted, uniforms: doubles(0, 0.9, 0) })).toEqual({
        accepted: [],
        next: 1,
      });
    }
  });

  it('takes the child that the target wants at temperature 0, whatever the siblings', () => {
    // The third most probable token of the drafter: its one-hot row has nothing there.
    const drafterLogits = doubles(...[3, 2, 1], ...[3, 2, 1], ...[3, 2, 1], ...[3, 2, 1]);
    const targetLogits = doubles(...[0, 1, 2], ...[0, 1, 2], ...[0, 1, 2], ...[0, 1, 2]);
    const parents = ints(-1, -1, -1);
    const greedy = { ...two, parents, drafterLogits, targetLogits, temperature: 0 };
    const uniforms = doubles(0.1, 0.1, 0.1, 0.1);
    for (const replacement of [false, true]) {
      const options = { ...greedy, replacement, uniforms };
      expect(outcome({ ...options, tokens: ints(0, 1, 2) }).accepted).toEqual([2]);
      const missed = outcome({ ...options, parents: ints(-1, -1, 1), tokens: ints(0, 1, 2) });
      expect(missed).toEqual({ accepted: [], next: 2 });
    }
  });

  it('rejects a sibling that was neither wanted nor drawn, of one that used up its row', () => {
    const drafterLogits = logs([1, 0, 0], q, q);
    const targetLogits = logs([0, 0, 1], p, p);
    const siblings = { ...two, parents: ints(-1, -1), tokens: ints(0, 1) };
    const uniforms = doubles(0.5, 0.5, 0.5);
    const missed = outcome({ ...siblings, drafterLogits, targetLogits, uniforms });
    expect(missed).toEqual({ accepted: [], next: 2 });
  });

  it('never leaves a fixed candidate that is certain for one that is impossible', () => {
    // pi(1) = q(1) + (q(0) + q(2)) is a unit short of 1 in float: a uniform may lie above it.
    const rule = tokenV2({ alpha: 0.5 });
    const target = Float32Array.of(-Infinity, 0, -Infinity);
    const drafter = Float32Array.of(7 / 64, 0, 0);
    const pi = targetDistribution(rule, drafter, target, { rows: 1, vocab: 3 });
    expect(Array.from(pi)).toEqual([0, 1 - 2 ** -24, 0]);
    const missed = outcome({
      ...{ rule, vocab: 3, parents: ints(-1, -1), tokens: ints(1, 2), proposals: 'fixed' },
      targetLogits: Float32Array.of(...target, ...target, ...target),
      drafterLogits: Float32Array.of(...drafter, ...drafter, ...drafter),
      uniforms: doubles(1 - 2 ** -25, 0.5, 0.5),
    });
    expect(missed).toEqual({ accepted: [], next: 1 });
  });

  it('draws from a residual of 5e-7 in double, which is noise in float alone', () => {
    const shifted = [0.5 + 5e-7, 0.5 - 5e-7];
    const one: VerifyOptions = {
      ...{ rule: lossless(), vocab: 2, parents: ints(-1), tokens: ints(1), verifier: 'token' },
      targetLogits: logs(shifted, shifted),
      drafterLogits: logs([0.5, 0.5], [0.5, 0.5]),
      uniforms: doubles(1 - 1e-9, 0.9),
    };
    expect(outcome(one)).toEqual({ accepted: [], next: 0 });
  });
});

describe('verify and its draws', () => {
  const gen: Gen = { seed: 5, V: 6, sp: 2, sn: [1.5] };
  type Shape = Pick<VerifyOptions, 'verifier' | 'replacement' | 'proposals'>;
  const shapes: [string, number[], Shape][] = [
    ['a chain by token', [-1, 0, 1], { verifier: 'token' }],
    ['a chain as a block', [-1, 0, 1], {}],
    ['a tree', [-1, -1, 0, 0, 1], { replacement: true }],
    ['fixed candidates', [-1, -1, 0, 0, 1], { proposals: 'fixed' }],
  ];
  const stepOf = (parents: number[], seed: number, over: Shape) => {
    const tokens = parents.map((_, node) => (seed * 7 + node * 5) % gen.V);
    const prefixes: number[][] = [[]];
    parents.forEach((parent, node) => prefixes.push([...prefixes[parent + 1]!, tokens[node]!]));
    const rows = (model: number) =>
      concatenate(prefixes.map((prefix) => logitsOf(gen, model, [seed % 50, ...prefix])));
    return {
      ...{ rule: opt({ alpha: 0.3 }), vocab: gen.V, parents: Int32Array.from(parents) },
      ...{ tokens: Int32Array.from(tokens), targetLogits: rows(0), drafterLogits: rows(1) },
      ...{ seed: BigInt(seed) << 30n, request: 1, position: 9, step: seed % 5, ...over },
    };
  };

  it.each(shapes)('has the same outcome in float and in double: %s', (_, parents, over) => {
    let accepted = 0;
    for (let seed = 0; seed < 300; seed += 1) {
      const options = stepOf(parents, seed, over);
      const exact = verify(options);
      const floats = verify({
        ...options,
        targetLogits: Float32Array.from(options.targetLogits),
        drafterLogits: Float32Array.from(options.drafterLogits),
      });
      expect([floats.accepted, floats.next]).toEqual([exact.accepted, exact.next]);
      accepted += exact.accepted.length;
    }
    expect(accepted).toBeGreaterThan(100);
  });

  it.each(shapes)('addresses them by position, step and node: %s', (_, parents, over) => {
    const depths: number[] = [];
    for (const parent of parents) depths.push(parent < 0 ? 0 : depths[parent]! + 1);
    const [accept, final] = [1, 2];
    for (let seed = 0; seed < 100; seed += 1) {
      const { seed: key, request, position, step, ...options } = stepOf(parents, seed, over);
      const uniform = (depth: number, purpose: number): number =>
        philox(BigInt(key), [request, position + depth, step, purpose]).uniforms[0]!;
      const drawn = verify({ ...options, seed: key, request, position, step });
      const uniforms = Float64Array.from([
        ...depths.map((depth, node) => uniform(depth, accept + 16 * node)),
        uniform(drawn.accepted.length, final),
      ]);
      expect(verify({ ...options, uniforms })).toEqual(drawn);
    }
  });

  it('differs by seed, request, position and step, and repeats with them', () => {
    const options = stepOf([], 1, {});
    const draws = (over: Partial<VerifyOptions>) =>
      Array.from({ length: 64 }, (_, i) => verify({ ...options, ...over, position: 100 * i }).next);
    const first = draws({});
    expect(draws({})).toEqual(first);
    for (const over of [{ seed: 2 }, { request: 7 }, { step: 9 }]) {
      expect(draws(over)).not.toEqual(first);
    }
    expect(new Set(first).size).toBeGreaterThan(1);
  });
});
