/** Greedy speculation gives the target's own tokens; all 1,000 sentences: npm run test:lossless. */
import { describe, expect, it } from 'vitest';
import { chains, losslessSweep, shapeName, trees } from './support/lossless.ts';
import { captions, loadBundled } from './support/models.ts';

const cases = [...chains, ...trees].flatMap((widths) => [
  { widths, batch: 1 },
  { widths, batch: 16 },
]);

describe.each(['base', 'small'])('greedy decoding of large, drafted by %s', (name) => {
  it('equals autoregressive decoding for chains 1 to 8 and trees, batch 1 and 16', async () => {
    await using target = await loadBundled('large');
    await using drafter = await loadBundled(name);
    let outcomes = 0;
    for await (const outcome of losslessSweep(target, drafter, captions(24), cases)) {
      expect(outcome.different, `${shapeName(outcome.widths)}, batch ${outcome.batch}`).toEqual([]);
      expect(outcome.blockEfficiency).toBeGreaterThan(1.2);
      outcomes += 1;
    }
    expect(outcomes).toBe(cases.length);
  }, 300_000);
});
