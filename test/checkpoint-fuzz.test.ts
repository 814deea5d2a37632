/**
 * Damaged headers, indexes and configurations end in a result that keeps its promises, or in a
 * named error. Guided by coverage; `npm run fuzz` goes on for longer.
 */
import { describe, expect, it } from 'vitest';
import { explore } from './support/fuzz/explore.ts';
import { textTargets } from './support/fuzz/targets.ts';

const { targets, counters } = await textTargets();
const runs = 20_000;

/** All branches of the copies that a target can reach, as far as these runs and seeds get. */
const reached = new Set<number>();

describe('damaged input', () => {
  it.each(targets)('$name', (target) => {
    const result = explore(target, counters, { runs, seed: 20_240_607 });
    for (const branch of result.branches) reached.add(branch);
    expect(result.runs).toBe(runs);
    // Guided, the damage gets behind the first check: much is refused, something is accepted,
    // and what is kept is more than the seeds.
    expect(result.refused).toBeGreaterThan(runs / 4);
    expect(result.accepted).toBeGreaterThan(10);
    expect(result.kept).toBeGreaterThan(target.seeds.length + 5);
  });

  // The rest opens and reads files (test/checkpoint-folder.test.ts), or is beyond these sizes.
  it('reaches nearly every branch of the parsers', () => {
    expect(reached.size / counters.length).toBeGreaterThan(0.8);
  });
});
