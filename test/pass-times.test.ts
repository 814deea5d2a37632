/** Times of whole passes, which `npm run bench` predicts speed-ups from. */
import { describe, expect, it } from 'vitest';
import { loadBundled } from './support/models.ts';

describe('timeSteps', () => {
  it('times the passes of a step, with a drafter and without', async () => {
    await using target = await loadBundled('base', { threads: 1 });
    await using drafter = await loadBundled('small', { threads: 1 });
    const alone = await target.nativeModel().timeSteps(null, 0, 4, 8, 2);
    expect(alone.target).toBeGreaterThan(0);
    expect(alone.draft).toBe(0);
    const step = await target.nativeModel().timeSteps(drafter.nativeModel(), 3, 4, 8, 2);
    expect(step.target).toBeGreaterThan(0);
    expect(step.draft).toBeGreaterThan(0);
  });

  it('refuses sizes out of range and closed models', async () => {
    await using model = await loadBundled('small', { threads: 1 });
    const native = model.nativeModel();
    for (const [drafts, cached, source, repeats, name] of [
      [-1, 4, 8, 2, 'rows'],
      [1, -4, 8, 2, 'cached'],
      [1, 4, 0, 2, 'source'],
      [1, 4, 8, 0, 'repeats'],
    ] as const) {
      const failed = native.timeSteps(null, drafts, cached, source, repeats);
      await expect(failed).rejects.toMatchObject({ code: 'ERR_INPUT' });
      await expect(failed).rejects.toThrow(name);
    }
    const closed = await loadBundled('small', { threads: 1 });
    const handle = closed.nativeModel();
    await closed.dispose();
    expect(() => native.timeSteps(handle, 1, 4, 8, 2)).toThrow(
      expect.objectContaining({ code: 'ERR_CLOSED' }),
    );
  });
});
