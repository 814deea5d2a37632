/**
 * The claim of every method, exactly: what a step emits, continued by ancestral sampling from pi,
 * has the law of ancestral sampling from pi. Every sequence, by enumeration through the engine's
 * own acceptance, in double and in float; for every rule.
 */
import { describe, expect, it } from 'vitest';
import { lossless, lossy, type Rule } from '../lib/index.ts';
import { targetDistribution } from '../lib/lowlevel.ts';
import type { NativeStep } from '../lib/native.ts';
import { nativeRule } from '../lib/rules.ts';
import { everyRule } from './support/every-rule.ts';
import { laws, type Cascade } from './support/laws.ts';
import { precisions, rowsOf, scaling, type Precision } from './support/vectors/format.ts';
import { logitsOf, logitsOfAll, type Gen } from './support/vectors/generator.ts';

const shapes: [string, number, number[], Pick<NativeStep, 'verifier' | 'siblings'>][] = [
  ['chain by token', 5, [1, 1, 1], { verifier: 'chain', siblings: 'with' }],
  ['chain as a block', 5, [1, 1, 1], { verifier: 'block', siblings: 'with' }],
  ['tree with replacement', 4, [3, 2], { verifier: 'tree', siblings: 'with' }],
  ['tree without replacement', 4, [3, 2], { verifier: 'tree', siblings: 'without' }],
  ['tree of fixed candidates', 6, [3, 2], { verifier: 'tree', siblings: 'fixed' }],
  ['tree by traversal, with', 3, [3, 2], { verifier: 'traversal', siblings: 'with' }],
  ['tree by traversal, without', 4, [2, 2], { verifier: 'traversal', siblings: 'without' }],
  ['tree by traversal, fixed', 6, [3, 2], { verifier: 'traversal', siblings: 'fixed' }],
  ['deep tree by traversal', 3, [2, 1, 2], { verifier: 'traversal', siblings: 'without' }],
  ['chain by traversal', 5, [1, 1, 1], { verifier: 'traversal', siblings: 'with' }],
  ['large tree, with', 4, [4, 3, 2], { verifier: 'tree', siblings: 'with' }],
  ['large tree, without', 5, [4, 2, 2], { verifier: 'tree', siblings: 'without' }],
];

/** Accepted: 1e-9 in double; in float a few units in the last place per factor. */
const tolerances = { double: 1e-9, float: 3e-6 };
const temperature = 0.8;

/** pi after a prefix, in double, remembered. */
function wantedRows(gen: Gen, rule: Rule): (prefix: number[]) => Float64Array {
  const known = new Map<string, Float64Array>();
  return (prefix) => {
    const key = prefix.join();
    let row = known.get(key);
    if (row === undefined) {
      const [target, drafter] = [logitsOf(gen, 0, prefix), logitsOf(gen, 1, prefix)];
      row = targetDistribution(rule, drafter, target, { rows: 1, vocab: gen.V, temperature });
      known.set(key, row);
    }
    return row;
  };
}

/** Largest difference, over sequences of `length` tokens, between step and claim. */
function largestError(
  gen: Gen,
  rule: Rule,
  length: number,
  emitted: (prefix: number[]) => number,
): number {
  const wanted = wantedRows(gen, rule);
  let worst = 0;
  // `reached`: chance that the step, continued, comes to this prefix; `claimed`: that pi does.
  const visit = (prefix: number[], reached: number, claimed: number): void => {
    const here = reached + emitted(prefix);
    if (prefix.length === length) {
      worst = Math.max(worst, Math.abs(here - claimed));
      return;
    }
    wanted(prefix).forEach((p, v) => visit([...prefix, v], here * p, claimed * p));
  };
  visit([], 0, 1);
  return worst;
}

describe.each(everyRule)('the exact law of a step with %s', (_, rule) => {
  it.each(shapes)('%s', (_name, V, widths, shape) => {
    const gen: Gen = { seed: 4242, V, sp: 3, sn: [2] };
    const levels = widths.length;
    for (const precision of precisions) {
      const { emitted, length } = laws().stepLaw({
        ...{ rule: nativeRule(rule), scaling: scaling(temperature), vocabulary: V, ...shape },
        widths: Int32Array.from(widths),
        target: rowsOf(precision, logitsOfAll(gen, 0, levels)),
        drafter: rowsOf(precision, logitsOfAll(gen, 1, levels)),
      });
      const place = (prefix: number[]): number => prefix.reduce((at, v) => at * V + 1 + v, 0);
      const worst = largestError(gen, rule, levels + 1, (prefix) => emitted[place(prefix)]!);
      expect(worst).toBeLessThan(tolerances[precision]);
      expect(length.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
      expect(length.at(-1)).toBeGreaterThan(0);
    }
  });

  const cascades: [string, number[], number[][], Rule][] = [
    [
      '2 levels',
      [1, -1],
      [
        [2, 1],
        [0, 2],
      ],
      lossless(),
    ],
    [
      '2 levels, lenient',
      [1, -1],
      [
        [2, 1],
        [0, 2],
      ],
      lossy({ alpha: 0.5 }),
    ],
    [
      '3 levels',
      [1, 2, -1],
      [
        [1, 1, 0],
        [0, 1, 1],
        [0, 0, 1],
      ],
      lossless(),
    ],
    [
      '3 levels, lenient',
      [1, 2, -1],
      [
        [1, 1, 0],
        [0, 1, 1],
        [0, 0, 1],
      ],
      lossy({ alpha: 0.5 }),
    ],
  ];

  it.each(cascades)('cascade drafting of %s', (_name, drafts, lengths, leniency) => {
    const gen: Gen = { seed: 777, V: 4, sp: 3, sn: [1.5, 2] };
    for (const precision of precisions) {
      const law = laws().cascadeLaw(cascade(gen, precision, drafts, lengths, leniency));
      const chances = new Map(law.emitted.map(({ tokens, chance }) => [tokens.join(), chance]));
      const emitted = (prefix: number[]): number => chances.get(prefix.join()) ?? 0;
      const worst = largestError(gen, rule, law.length.length, emitted);
      expect(worst).toBeLessThan(tolerances[precision]);
    }
  });

  function cascade(
    gen: Gen,
    precision: Precision,
    drafts: number[],
    lengths: number[][],
    leniency: Rule,
  ): Cascade {
    return {
      ...{ float: precision === 'float', scaling: scaling(temperature), vocabulary: gen.V },
      ...{ rule: nativeRule(rule), leniency: nativeRule(leniency) },
      ...{ drafts: Int32Array.from(drafts), lengths: Int32Array.from(lengths.flat()) },
      ...{ input: new Int32Array(), start: 0 },
      logits: (model, prefix) => rowsOf(precision, logitsOf(gen, model, Array.from(prefix))),
      copy: (prefix) => {
        const sum = prefix.reduce((a, b) => a + b, 0);
        return Int32Array.of((sum + 1) % gen.V, (3 * sum + 2) % gen.V);
      },
    };
  }
});
