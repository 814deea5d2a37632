/** Which of the measured methods to use, if any. */
import type { Interval } from './quality.ts';
import type { Spread } from './spread.ts';

export interface Candidate {
  method: string;
  /** Whether its output is the target's own, in distribution. */
  lossless: boolean;
  speedup: Spread;
  /** BLEU less the target's; null where there are no references. */
  bleuChange: Interval | null;
}

/** maxBleuLoss null: nothing but lossless methods. */
interface Goal {
  maxBleuLoss: number | null;
}

export type Decision =
  | { speculate: true; choice: Candidate; caution: string | null }
  | { speculate: false; reason: string; best: Candidate | null };

/** A gain below this is not worth a second model in memory, and is hard to tell from noise. */
export const leastSpeedup = 1.05;

/** `when`: how the candidates were measured, where that is to be said. */
export function decide(
  candidates: readonly Candidate[],
  { maxBleuLoss }: Goal,
  when = '',
): Decision {
  const allowed = candidates.filter(
    ({ lossless, bleuChange }) =>
      lossless || (maxBleuLoss !== null && bleuChange !== null && bleuChange.mean >= -maxBleuLoss),
  );
  const best = allowed.toSorted((a, b) => b.speedup.median - a.speedup.median)[0] ?? null;
  if (best === null) return { speculate: false, reason: 'no method meets the goal', best };
  if (best.speedup.median < leastSpeedup) {
    const found = `${best.speedup.median.toFixed(2)}x`;
    const reason = `the fastest method that meets the goal (${best.method}) runs at ${found} of the target's speed${when}, less than ${leastSpeedup}x`;
    return { speculate: false, reason, best };
  }
  return { speculate: true, choice: best, caution: cautionOf(best, maxBleuLoss) };
}

/** What the sample cannot rule out. */
function cautionOf(
  { speedup, lossless, bleuChange }: Candidate,
  limit: number | null,
): string | null {
  const doubts: string[] = [];
  if (speedup.min < 1) {
    doubts.push(
      `on one part of the sample it was slower than the target (${speedup.min.toFixed(2)}x)`,
    );
  }
  if (!lossless && limit !== null && bleuChange !== null && bleuChange.low < -limit) {
    const low = bleuChange.low.toFixed(2);
    doubts.push(`the 95% interval of its BLEU reaches ${low}; more texts would tell`);
  }
  return doubts.length > 0 ? doubts.join('; ') : null;
}
