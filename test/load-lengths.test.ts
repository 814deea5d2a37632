/** Draft lengths that follow the load: tokens stay what they are, whatever is chosen. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  adaptive,
  chain,
  createSession,
  csDraft,
  dynamicTree,
  lossy,
  maxGram,
  tree,
  type Drafter,
  type T5Model,
} from '../lib/index.ts';
import { captions, loadBundled } from './support/models.ts';

const inputs = captions(24);

describe('lengths that follow the load', () => {
  let target: T5Model;
  let drafter: T5Model;
  let expected: number[][];

  beforeAll(async () => {
    target = await loadBundled('large');
    drafter = await loadBundled('base');
    await using plain = await createSession({ target });
    expected = (await plain.generate(inputs)).map(({ tokens }) => tokens);
  });
  afterAll(async () => {
    await target.dispose();
    await drafter.dispose();
  });

  const drafters: [string, () => Drafter][] = [
    ['chain', () => chain(drafter, { length: 5 })],
    ['tree', () => tree(drafter, { widths: [3, 2, 1] })],
    ['dynamicTree', () => dynamicTree(drafter, { nodes: 8, depth: 4 })],
    ['maxGram', () => maxGram({ length: 4 })],
    ['csDraft', () => csDraft([drafter], { lengths: [[3, 4], [0, 4]] })], // prettier-ignore
    ['adaptive', () => adaptive(chain(drafter, { length: 6 }))],
  ];

  it.each(drafters)('leave greedy tokens alone: %s', async (_, draft) => {
    let drafted = 0;
    for (const maxBatch of [1, 12]) {
      await using session = await createSession({
        target,
        draft: draft(),
        maxBatch,
        lengths: 'load',
      });
      const some = maxBatch === 1 ? 8 : inputs.length;
      const results = await session.generate(inputs.slice(0, some));
      expect(results.map(({ tokens }) => tokens)).toEqual(expected.slice(0, some));
      const { proposed, tested, accepted, targetCalls } = session.stats().totals;
      expect(tested).toBeLessThanOrEqual(proposed);
      expect(accepted).toBeLessThanOrEqual(tested);
      drafted += proposed;
      // Every call adds a token of the target's own, unless an end token was accepted.
      const beyond = targetCalls + accepted - session.stats().tokens;
      expect(beyond).toBeGreaterThanOrEqual(0);
      expect(beyond).toBeLessThanOrEqual(some);
    }
    // Trials alone make some drafts.
    expect(drafted).toBeGreaterThan(0);
  });

  it('are those of the drafter where results depend on them', async () => {
    const draft = chain(drafter, { length: 4 });
    for (const sampling of [{ temperature: 1, seed: 7 }, { rule: lossy({ alpha: 0.2 }) }]) {
      await using fixed = await createSession({ target, draft, lengths: 'fixed' });
      await using load = await createSession({ target, draft, lengths: 'load' });
      const one = await fixed.generate(inputs.slice(0, 12), sampling);
      const other = await load.generate(inputs.slice(0, 12), sampling);
      const counted = ({ tokens, stats }: (typeof one)[number]) => [
        tokens,
        stats.draftCalls,
        stats.proposed,
      ];
      expect(other.map(counted)).toEqual(one.map(counted));
    }
  });

  it('vary for sampled requests with reproducible: false', async () => {
    const draft = chain(drafter, { length: 4 });
    await using session = await createSession({
      ...{ target, draft, lengths: 'load', reproducible: false, maxBatch: 8 },
    });
    const results = await session.generate(inputs, { temperature: 1 });
    // Before anything is measured, steps are plain.
    const { proposed, targetCalls } = session.stats().totals;
    expect(proposed).toBeLessThan(4 * (targetCalls - 16));
    expect(proposed).toBeGreaterThan(0);
    for (const { finishReason } of results) expect(finishReason).toBe('eos');
  });

  it('mix with requests of fixed lengths', async () => {
    const draft = chain(drafter, { length: 4 });
    await using session = await createSession({ target, draft, lengths: 'load', maxBatch: 8 });
    const [greedy, sampled] = await Promise.all([
      session.generate(inputs),
      session.generate(inputs.slice(0, 8), { temperature: 1, seed: 3 }),
    ]);
    expect(greedy.map(({ tokens }) => tokens)).toEqual(expected);
    const again = await session.generate(inputs.slice(0, 8), { temperature: 1, seed: 3 });
    expect(again.map(({ tokens }) => tokens)).toEqual(sampled.map(({ tokens }) => tokens));
  });

  it('refuses what it does not know', async () => {
    const options = { target, lengths: 'short' as never };
    await expect(createSession(options)).rejects.toMatchObject({ code: 'ERR_INPUT' });
  });
});
