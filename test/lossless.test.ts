/** Greedy speculation gives the target's own tokens; all 1,000 sentences: npm run test:lossless. */
import { describe, expect, it } from 'vitest';
import { losslessSweep } from './support/lossless.ts';
import { captions, loadBundled } from './support/models.ts';

const cases = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((gamma) => [
  { gamma, batch: 1 },
  { gamma, batch: 16 },
]);

describe.each(['base', 'small'])('greedy decoding of large, drafted by %s', (name) => {
  it('equals autoregressive decoding for gamma 1 to 8, batch 1 and 16', async () => {
    await using target = await loadBundled('large');
    await using drafter = await loadBundled(name);
    let outcomes = 0;
    for await (const outcome of losslessSweep(target, drafter, captions(24), cases)) {
      expect(outcome.different, `gamma ${outcome.gamma}, batch ${outcome.batch}`).toEqual([]);
      expect(outcome.blockEfficiency).toBeGreaterThan(1.2);
      outcomes += 1;
    }
    expect(outcomes).toBe(16);
  }, 300_000);
});
