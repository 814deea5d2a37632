/** targetDistribution(): against plain twins of the rules, in both arithmetics, and at its edges. */
import { describe, expect, it } from 'vitest';
import { bild, chow, diff, lossless, opt, tokenV3, type Rule } from '../lib/index.ts';
import { targetDistribution, type TargetOptions } from '../lib/lowlevel.ts';
import { everyRule } from './support/every-rule.ts';
import { distribution, twinTarget } from './support/rule-twin.ts';
import { codeOf, messageOf } from './support/vectors/errors.ts';
import { concatenate, logitsOf, type Gen } from './support/vectors/generator.ts';

const gen: Gen = { seed: 77, V: 24, sp: 3, sn: [2] };
const rows = 12;
const vocab = gen.V;
const prefixes = Array.from({ length: rows }, (_, i) => [i]);
const target = concatenate(prefixes.map((prefix) => logitsOf(gen, 0, prefix)));
const drafter = concatenate(prefixes.map((prefix) => logitsOf(gen, 1, prefix)));
const rowAt = (all: Float64Array, row: number): Float64Array =>
  all.subarray(row * vocab, (row + 1) * vocab);

function largestError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a).reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0);
}

describe.each(everyRule)('targetDistribution of %s', (_, rule) => {
  const settings = [
    { temperature: 1 },
    { temperature: 0.6 },
    { temperature: 1.5, topK: 9, topP: 0.9 },
  ];

  it.each(settings)('is the rule of every row at %o', (sampling) => {
    const options = { rows, vocab, ...sampling };
    const exact = targetDistribution(rule, drafter, target, options);
    const floats = targetDistribution(
      rule,
      Float32Array.from(drafter),
      Float32Array.from(target),
      options,
    );
    for (let row = 0; row < rows; row += 1) {
      const [q, p] = [rowAt(drafter, row), rowAt(target, row)];
      const twin = twinTarget(
        rule,
        distribution(q, sampling),
        distribution(p, sampling),
        distribution(q, {}),
        distribution(p, {}),
      );
      expect(largestError(rowAt(exact, row), twin)).toBeLessThan(1e-12);
    }
    expect(exact).toBeInstanceOf(Float64Array);
    expect(floats).toBeInstanceOf(Float32Array);
    expect(largestError(floats, exact)).toBeLessThan(2e-6);
  });

  it('is one-hot at temperature 0', () => {
    const pi = targetDistribution(rule, drafter, target, { rows, vocab, temperature: 0 });
    for (let row = 0; row < rows; row += 1) {
      expect(Array.from(rowAt(pi, row)).sort().slice(-2)).toEqual([0, 1]);
    }
  });
});

describe('targetDistribution of probabilities', () => {
  const probabilities = (all: Float64Array): Float64Array =>
    targetDistribution(lossless(), null, all, { rows, vocab });

  it('takes them as they are at temperature 1, so that equality is decided as written', () => {
    const q = Float64Array.of(0.625, 0.125, 0.125, 0.125);
    const p = Float64Array.of(0.125, 0.75, 0.0625, 0.0625);
    const options = { rows: 1, vocab: 4, input: 'probabilities' as const };
    expect(targetDistribution(diff({ alpha: 0.125 }), q, p, options)).toEqual(q);
    expect(targetDistribution(diff({ alpha: 0.1249 }), q, p, options)).toEqual(p);
    const floats = [Float32Array.from(q), Float32Array.from(p)] as const;
    expect(targetDistribution(opt({ alpha: 0.2 }), ...floats, options)).toEqual(floats[0]);
  });

  it('stands for the logits log(p) at other temperatures, filters included', () => {
    for (const sampling of [{ temperature: 0.5 }, { temperature: 2, topK: 5 }, { topP: 0.8 }]) {
      const options = { rows, vocab, ...sampling };
      const fromLogits = targetDistribution(opt({ alpha: 0.3 }), drafter, target, options);
      const given = [probabilities(drafter), probabilities(target)] as const;
      const fromProbabilities = targetDistribution(opt({ alpha: 0.3 }), ...given, {
        ...options,
        input: 'probabilities',
      });
      expect(largestError(fromProbabilities, fromLogits)).toBeLessThan(1e-12);
    }
  });
});

describe('targetDistribution at its edges', () => {
  it('takes no rows', () => {
    const none = new Float32Array();
    expect(targetDistribution(lossless(), none, none, { rows: 0, vocab: 5 })).toEqual(none);
  });

  it('leaves its arguments as they are', () => {
    const copies = [Float64Array.from(drafter), Float64Array.from(target)];
    targetDistribution(tokenV3({ alpha: 0.2 }), drafter, target, { rows, vocab, topK: 3 });
    expect([drafter, target]).toEqual(copies);
  });

  it('gives masked tokens no probability', () => {
    const masked = Float32Array.of(1, -Infinity, 2);
    const pi = targetDistribution(chow({ alpha: 0 }), masked, masked, { rows: 1, vocab: 3 });
    expect(pi[1]).toBe(0);
  });
});

it("bild() looks at temperature 0 at the drafter's most probable token alone", () => {
  const q = Float64Array.of(0.6, 0.4, 0).map(Math.log);
  const p = Float64Array.of(0.3, 0.001, 0.699).map(Math.log);
  const kept = (temperature: number): number[] =>
    Array.from(
      targetDistribution(bild({ rollback: 1.5 }), q, p, { rows: 1, vocab: 3, temperature }),
    );
  expect(kept(0)).toEqual([1, 0, 0]); // -log 0.3 = 1.2
  expect(kept(1)[2]).toBeCloseTo(0.699, 12); // the mean of both tokens' is 3.5
});

describe('targetDistribution refuses', () => {
  const two = Float32Array.of(0, 1);
  const good = { rows: 1, vocab: 2 };
  const call = (over: {
    rule?: unknown;
    drafter?: unknown;
    target?: unknown;
    options?: Partial<TargetOptions> | Record<string, unknown>;
  }) => {
    const { rule = chow({ alpha: 0 }), options = {} } = over;
    return () =>
      targetDistribution(
        rule as Rule,
        ('drafter' in over ? over.drafter : two) as Float32Array,
        ('target' in over ? over.target : two) as Float32Array,
        { ...good, ...options },
      );
  };

  it.each([
    ['an unknown rule', { rule: { rule: 'trust' } }, /rule.*"trust"/],
    ['alpha NaN', { rule: { rule: 'opt', alpha: NaN, loss: 'log' } }, /alpha.*NaN/],
    ['beta below 1 - alpha', { rule: { rule: 'lossy', alpha: 0.1, beta: 0.8 } }, /beta.*0\.8/],
    ['rows of the wrong length', { target: new Float32Array(3) }, /target.*1 rows of 2.*3/],
    ['rows that are no typed array', { target: [0, 1] }, /target.*Float32Array/],
    ['rows of two types', { drafter: Float64Array.of(0, 1) }, /drafter.*Float32Array/],
    ['no drafter for a rule that reads it', { drafter: null }, /drafter.*null/],
    ['a row without a possible token', { target: Float32Array.of(-Infinity, -Infinity) }, /row 0/],
    ['a temperature below 0', { options: { temperature: -1 } }, /temperature.*-1/],
    ['topP of 0', { options: { topP: 0 } }, /topP.*0/],
    ['topK that is no integer', { options: { topK: 1.5 } }, /topK.*1\.5/],
    ['an unknown option', { options: { tempereature: 1 } }, /tempereature/],
    ['an unknown input', { options: { input: 'logprobs' } }, /input.*logprobs/],
    [
      'a negative probability',
      { target: Float32Array.of(-0.5, 1.5), options: { input: 'probabilities' } },
      /target\[0\] \(row 0, token 0\).*-0\.5/,
    ],
    [
      'probabilities that do not sum to 1',
      { options: { input: 'probabilities' }, target: Float32Array.of(0.5, 0.25) },
      /row 0.*0\.75/,
    ],
    ['an unknown device', { options: { device: 'tpu' } }, /device.*tpu/],
  ])('%s', (_, over, message) => {
    expect(codeOf(call(over))).toBe('ERR_INPUT');
    expect(messageOf(call(over))).toMatch(message);
  });

  it('NaN and infinite logits, with their place', () => {
    for (const bad of [NaN, Infinity]) {
      const given = { options: { rows: 2 }, drafter: Float32Array.of(0, 1, 2, bad) };
      const target = Float32Array.of(0, 1, 2, 3);
      expect(codeOf(call({ ...given, target }))).toBe('ERR_NUMERIC');
      expect(messageOf(call({ ...given, target }))).toMatch(/drafter\[3\] \(row 1, token 1\)/);
    }
  });

  it('CUDA, where there is none', () => {
    expect(codeOf(call({ options: { device: 'cuda:999' } }))).toBe('ERR_DEVICE');
    expect(codeOf(call({ options: { device: 'cuda:' } }))).toBe('ERR_INPUT');
  });
});
