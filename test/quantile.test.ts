/** Medians and other quantiles: one definition, linear between neighbours. */
import { describe, expect, it } from 'vitest';
import { spread } from '../lib/evaluate/spread.ts';
import { median, quantile } from '../lib/quantile.ts';

describe('quantiles', () => {
  it('of an even count lie between the two in the middle', () => {
    expect(median([10, 1, 2, 4])).toBe(3);
    expect(spread([10, 1, 2, 4])).toEqual({ median: 3, min: 1, max: 10 });
  });

  it('of an odd count and of one value are values', () => {
    expect(median([10, 9, 100])).toBe(10);
    expect(median([7])).toBe(7);
  });

  it('leave the order of what is given as it is', () => {
    const values = [3, 1, 2];
    median(values);
    expect(values).toEqual([3, 1, 2]);
  });

  it('are linear between neighbours', () => {
    const shares = [0, 0.1, 0.5, 0.75, 1];
    expect(shares.map((share) => quantile([0, 10, 20, 40, 80], share))).toEqual([0, 4, 20, 40, 80]);
  });
});
