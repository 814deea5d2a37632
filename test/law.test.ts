/** Sampled output has the target's distribution: chi-square of 20,000 draws through the engine. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { T5Model } from '../lib/index.ts';
import { chiSquareDeviate, drafterOf, drawnCounts, exactLaw, lawCases } from './support/law.ts';
import { loadGolden } from './support/models.ts';

const draws = 20_000;
const input = [17, 5, 99, 23, 1];

describe('the law of sampled output', () => {
  let target: T5Model;
  let drafter: T5Model;
  beforeAll(async () => {
    target = await loadGolden('relu-tied');
    drafter = await loadGolden('gated-untied');
  });
  afterAll(async () => {
    await target.dispose();
    await drafter.dispose();
  });

  it.each(lawCases)('$name: drafted output follows the target', async (one) => {
    const law = await exactLaw(target, input, one);
    const draft = drafterOf(drafter, one.gamma);
    const { counts, acceptanceRate } = await drawnCounts(target, draft, input, one, draws, 7);
    expect(acceptanceRate).toBeGreaterThan(0);
    expect(acceptanceRate).toBeLessThan(1);
    expect(chiSquareDeviate(counts, law)).toBeLessThan(3.7);
  });

  it.each(lawCases)('$name: autoregressive output follows the target', async (one) => {
    const law = await exactLaw(target, input, one);
    const { counts } = await drawnCounts(target, undefined, input, one, draws, 11);
    expect(chiSquareDeviate(counts, law)).toBeLessThan(3.7);
  });

  it.each(lawCases)("$name: the drafter's own output does not", async (one) => {
    const law = await exactLaw(target, input, one);
    const { counts } = await drawnCounts(drafter, undefined, input, one, draws, 13);
    expect(chiSquareDeviate(counts, law)).toBeGreaterThan(10);
  });
});
