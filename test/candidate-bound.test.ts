/** The bound of candidateLaw: no scheme accepts more often than the candidates allow. */
import { describe, expect, it } from 'vitest';
import type { NativeSiblings } from '../lib/native.ts';
import { laws } from './support/laws.ts';

function law(wanted: number[], drafter: number[], siblings: NativeSiblings, candidates: number[]) {
  return laws().candidateLaw({
    vocabulary: wanted.length,
    wanted: Float64Array.from(wanted),
    drafter: Float64Array.from(drafter),
    siblings,
    k: candidates.length,
    candidates: Int32Array.from(candidates),
  });
}

describe('the bound of candidates', () => {
  const wanted = [0.1, 0.2, 0.3, 0.4];
  const drafter = [0.4, 0.1, 0.4, 0.1];

  it.each([
    ['two', [1, 3], 0.6],
    ['one that the drafter would draw often', [0], 0.1],
    ['one twice', [2, 2], 0.3],
    ['every token', [3, 2, 1, 0], 1],
  ])('of fixed ones is what they are wanted with: %s', (_, candidates, share) => {
    const { bound, rate } = law(wanted, drafter, 'fixed', candidates);
    expect(bound).toBeCloseTo(share, 12);
    expect(rate).toBeCloseTo(share, 12);
  });

  it('of fixed ones knows no largest vocabulary', () => {
    const uniform = Array<number>(40).fill(1 / 40);
    expect(law(uniform, uniform, 'fixed', [3, 7]).bound).toBeCloseTo(2 / 40, 12);
    expect(law(uniform, uniform, 'without', [3, 7]).bound).toBeNaN();
  });

  it.each(['with', 'without'] as const)(
    'of drawn ones (%s) is never below the rate',
    (siblings) => {
      const { bound, rate } = law(wanted, drafter, siblings, [0, 2]);
      expect(bound).toBeGreaterThanOrEqual(rate - 1e-12);
      expect(bound).toBeLessThan(1);
    },
  );

  // H = {0}: both candidates are token 0 with chance 0.64, which pi gives 0.1.
  it('of drawn ones is the least over sets of tokens', () => {
    expect(law([0.1, 0.9], [0.8, 0.2], 'with', [0, 0]).bound).toBeCloseTo(0.1 + 1 - 0.64, 12);
  });

  it('is undefined where the rows that candidates came from are handed over', () => {
    expect(law(wanted, drafter, 'given', [0, 2]).bound).toBeNaN();
  });
});
