/** One row of the benchmark: a method at a batch size. Spreads are over the repeats. */
import type { Spread } from '../evaluate/spread.ts';

export interface Row {
  method: 'autoregressive' | 'chain' | 'adaptive';
  /** Draft length; 0: none; of adaptive the longest. */
  length: number;
  batch: number;
  tokensPerSecond: Spread;
  /** Time of the autoregressive run of the same repeat and batch over this one's. */
  speedup: Spread;
  acceptanceRate: number | null;
  blockEfficiency: number;
  targetCallsPerToken: number;
  draftCallsPerToken: number;
  /** Of adaptive: time of the fastest fixed length, none included, over this one's; else null. */
  againstFixed: Spread | null;
  /** Texts whose tokens differ from those of the first autoregressive run. */
  different: number;
}

/** As tables name it. */
export function methodName({ method, length }: Pick<Row, 'method' | 'length'>): string {
  if (method === 'autoregressive') return method;
  return method === 'chain' ? `chain of ${length}` : `adaptive, up to ${length}`;
}
