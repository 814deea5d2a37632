/** Whether memory is flat: a line through readings of the resident set. */

export interface MemoryTrend {
  /** Readings after the warm-up. */
  readings: number;
  /** Mean of the readings, MiB. */
  meanMiB: number;
  /** Of the line of least squares, MiB per minute. */
  slopeMiBPerMinute: number;
  /** What the line rises over the time read, MiB. */
  riseMiB: number;
}

export class MemoryLog {
  readonly #readings: { minutes: number; mib: number }[] = [];
  readonly #begin = performance.now();

  read(): void {
    const minutes = (performance.now() - this.#begin) / 60_000;
    this.#readings.push({ minutes, mib: process.memoryUsage.rss() / 2 ** 20 });
  }

  /** Leaves the first third out: until then pools and caches fill. */
  trend(): MemoryTrend {
    const used = this.#readings.slice(Math.floor(this.#readings.length / 3));
    const mean = (of: 'minutes' | 'mib'): number =>
      used.reduce((sum, reading) => sum + reading[of], 0) / used.length;
    const [minutes, mib] = [mean('minutes'), mean('mib')];
    let covariance = 0;
    let variance = 0;
    for (const reading of used) {
      covariance += (reading.minutes - minutes) * (reading.mib - mib);
      variance += (reading.minutes - minutes) ** 2;
    }
    const slopeMiBPerMinute = variance > 0 ? covariance / variance : 0;
    const span = (used.at(-1)?.minutes ?? 0) - (used[0]?.minutes ?? 0);
    return {
      readings: used.length,
      meanMiB: mib,
      slopeMiBPerMinute,
      riseMiB: slopeMiBPerMinute * span,
    };
  }
}
