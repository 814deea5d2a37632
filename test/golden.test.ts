/** Golden checkpoints: states, logits and greedy output of the reference, for every layout. */
import { describe, expect, it } from 'vitest';
import { createSession } from '../lib/index.ts';
import { goldenCases, rowPairs, worstError } from './support/golden.ts';
import { goldenNames, loadGolden } from './support/models.ts';

/** Absolute, float32 (test/golden/README.md). */
const tolerance = 2e-4;

describe.each(goldenNames)('golden checkpoint %s', (name) => {
  const cases = goldenCases(name);

  it('gives the reference encoder states', async () => {
    await using model = await loadGolden(name);
    for (const one of cases) {
      const states = await model.encode(one.inputIds);
      expect(states.shape[0]).toBe(one.inputIds.length);
      for (const { expected, actual } of rowPairs(one.encoderLast, states)) {
        expect(worstError(expected, actual)).toBeLessThan(tolerance);
      }
    }
  });

  it('gives the reference logits', async () => {
    await using model = await loadGolden(name);
    for (const one of cases) {
      const logits = await model.logits(one.inputIds, one.decoderInputIds);
      for (const { expected, actual } of rowPairs(one.logits, logits)) {
        expect(worstError(expected, actual)).toBeLessThan(tolerance);
      }
      // Rows past a shorter output's end are zero.
      const { data, shape } = logits;
      one.decoderInputIds.forEach((ids, row) => {
        const rest = data.subarray(
          (row * shape[1] + ids.length) * shape[2],
          (row + 1) * shape[1] * shape[2],
        );
        expect(rest.every((value) => value === 0)).toBe(true);
      });
    }
  });

  it('gives the reference greedy output, ragged batch and all', async () => {
    await using model = await loadGolden(name);
    await using session = await createSession({ target: model, maxNewTokens: 24 });
    for (const one of cases) {
      const results = await session.generate(one.inputIds);
      expect(results.map(({ tokens }) => tokens)).toEqual(one.greedy.map((row) => row.slice(1)));
    }
  });
});
