/** How late the timers of this thread are. */
import { clearInterval, setInterval } from 'node:timers';

/** Runs `work` beside an interval of 1 ms; the milliseconds by which its turns were late. */
export async function lateness<T>(work: () => Promise<T>): Promise<{ value: T; late: number[] }> {
  const late: number[] = [];
  let last = performance.now();
  const interval = setInterval(() => {
    const now = performance.now();
    late.push(Math.max(0, now - last - 1));
    last = now;
  }, 1);
  try {
    return { value: await work(), late };
  } finally {
    clearInterval(interval);
  }
}

/** Percentile by nearest rank: the least value that this share of the values does not exceed. */
export function nearestRank(values: number[], share: number): number {
  if (values.length === 0) throw new Error('no values were measured');
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}
