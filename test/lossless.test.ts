/** Greedy speculation gives the target's own tokens; all 1,000 sentences: npm run test:lossless. */
import { describe, expect, it } from 'vitest';
import { losslessMethods, losslessSweep } from './support/lossless.ts';
import { captions, loadBundled } from './support/models.ts';

describe.each([['base'], ['small'], ['base', 'small']])('large, drafted by %s %s', (...names) => {
  it('gives its own tokens for every drafter, shape and verifier, batch 1 and 16', async () => {
    await using target = await loadBundled('large');
    const [first, ...smaller] = await Promise.all(
      names.filter((name) => name !== undefined).map((name) => loadBundled(name)),
    );
    const methods = losslessMethods(first!, ...smaller);
    let outcomes = 0;
    for await (const outcome of losslessSweep(target, captions(24), methods)) {
      const { method, batch, different, blockEfficiency } = outcome;
      expect(different, `${method.name}, batch ${batch}`).toEqual([]);
      expect(blockEfficiency, method.name).toBeGreaterThan(1);
      outcomes += 1;
    }
    expect(outcomes).toBe(2 * methods.length);
    await Promise.all([first!, ...smaller].map((model) => model.dispose()));
  }, 300_000);
});
