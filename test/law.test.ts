/**
 * Sampled output has exactly the distribution claimed: chi-square of 20,000 draws through the
 * engine; docs/law-table.md says which. 200,000 draws: npm run test:law.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lossless, type T5Model } from '../lib/index.ts';
import { ruleCases, samplingCases } from './support/law-cases.ts';
import {
  autoregressive,
  chiSquareDeviate,
  draw,
  ExactLaw,
  losslessMethods,
  methods,
  tokenCascade,
} from './support/law.ts';
import { loadGolden } from './support/models.ts';

const draws = 20_000;
/** A chance of about 1 in 10,000 per case; the seeds are fixed. */
const limit = 3.7;

describe('the law of sampled output', () => {
  let models: { target: T5Model; drafter: T5Model };
  let exact: ExactLaw;
  let swapped: ExactLaw;

  beforeAll(async () => {
    // One thread: the models are too small to share.
    models = {
      target: await loadGolden('relu-tied', { threads: 1 }),
      drafter: await loadGolden('gated-untied', { threads: 1 }),
    };
    exact = new ExactLaw(models);
    swapped = new ExactLaw({ target: models.drafter, drafter: models.target });
  });
  afterAll(async () => {
    await models.target.dispose();
    await models.drafter.dispose();
  });

  describe.each(samplingCases)('lossless, $name', (one) => {
    // The filters act before drafting and verification, whatever these are.
    const all = [...methods, ...losslessMethods];
    const few = one.name === 'temperature 1' ? all : methods.slice(1, 3);
    it.each([autoregressive, ...few])('$name', async (method) => {
      const { counts, acceptanceRate } = await draw(models, one, method, draws, 7);
      if (method !== autoregressive) {
        expect(acceptanceRate).toBeGreaterThan(0);
        expect(acceptanceRate).toBeLessThan(1);
      }
      expect(chiSquareDeviate(counts, await exact.of(one))).toBeLessThan(limit);
    });
  });

  describe.each(ruleCases)('$name', (one) => {
    let counts = new Map<string, number>();

    it.each([...methods, tokenCascade])('$name', async (method) => {
      ({ counts } = await draw(models, one, method, draws, 11));
      expect(chiSquareDeviate(counts, await exact.of(one))).toBeLessThan(limit);
    });

    it("is neither the target's law nor the drafter's", async () => {
      const targets = await exact.of({ ...one, rule: lossless() });
      const drafters = await swapped.of({ ...one, rule: lossless() });
      expect(counts.size).toBeGreaterThan(0); // of the method before
      expect(chiSquareDeviate(counts, targets)).toBeGreaterThan(2 * limit);
      expect(chiSquareDeviate(counts, drafters)).toBeGreaterThan(2 * limit);
    });
  });
});
