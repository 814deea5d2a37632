/** Golden checkpoints: states, logits and greedy output of the reference, for every layout. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createSession } from '../lib/index.ts';
import { goldenFolder, goldenNames, loadGolden, readJson } from './support/models.ts';

interface Row {
  position: number;
  values: number[];
}

interface Case {
  inputIds: number[][];
  encoderLast: Row[];
  decoderInputIds: number[][];
  logits: Row[];
  logitsShape: [number, number];
  greedy: number[][];
}

/** Absolute, float32 (test/golden/README.md). */
const tolerance = 2e-4;

function worstError(expected: number[], data: Float32Array, start: number): number {
  return expected.reduce((worst, v, i) => Math.max(worst, Math.abs(v - data[start + i]!)), 0);
}

describe.each(goldenNames)('golden checkpoint %s', (name) => {
  const { cases } = readJson(path.join(goldenFolder(name), 'golden.json')) as { cases: Case[] };

  it('gives the reference encoder states', async () => {
    await using model = await loadGolden(name);
    for (const one of cases) {
      const { data, shape } = await model.encode(one.inputIds);
      expect(shape[0]).toBe(one.inputIds.length);
      one.encoderLast.forEach(({ position, values }, row) => {
        expect(values.length).toBe(shape[2]);
        const start = (row * shape[1] + position) * shape[2];
        expect(worstError(values, data, start)).toBeLessThan(tolerance);
      });
    }
  });

  it('gives the reference logits', async () => {
    await using model = await loadGolden(name);
    for (const one of cases) {
      const { data, shape } = await model.logits(one.inputIds, one.decoderInputIds);
      const perRow = one.logits.length / one.inputIds.length;
      one.logits.forEach(({ position, values }, i) => {
        const row = Math.floor(i / perRow);
        expect(values.length).toBe(shape[2]);
        const start = (row * shape[1] + position) * shape[2];
        expect(worstError(values, data, start)).toBeLessThan(tolerance);
      });
      // Rows past a shorter output's end are zero.
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
