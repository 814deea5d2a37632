/** One row of the benchmark: a method at a batch size. */

/** Median of the repeats, and the extremes. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

export interface Row {
  method: 'autoregressive' | 'chain';
  /** Draft length; 0: none. */
  length: number;
  batch: number;
  tokensPerSecond: Spread;
  /** Time of the autoregressive run of the same repeat and batch over this one's. */
  speedup: Spread;
  acceptanceRate: number | null;
  blockEfficiency: number;
  targetCallsPerToken: number;
  draftCallsPerToken: number;
  /** Texts whose tokens differ from those of the first autoregressive run. */
  different: number;
}

/** As tables name it. */
export function methodName({ length }: { length: number }): string {
  return length === 0 ? 'autoregressive' : `chain of ${length}`;
}
