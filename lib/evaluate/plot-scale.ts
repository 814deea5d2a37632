/** Axes: from values to places on paper, with round numbers as ticks. */

export interface Scale {
  /** Where a value lies, in pixels. */
  at: (value: number) => number;
  ticks: number[];
  /** A tick as text, with the decimals that tell it from its neighbours. */
  label: (tick: number) => string;
}

/** Covers all values with a margin, from pixel `from` to pixel `to` (which may be the smaller). */
export function linearScale(values: readonly number[], from: number, to: number): Scale {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const range = high > low ? high - low : Math.abs(high) || 1;
  const begin = low - 0.06 * range;
  const end = high + 0.06 * range;
  const step = roundStep((end - begin) / 6);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const first = Math.ceil(begin / step);
  const count = Math.floor(end / step) - first + 1;
  return {
    at: (value) => from + ((value - begin) / (end - begin)) * (to - from),
    ticks: Array.from({ length: count }, (_, i) => (first + i) * step),
    label: (tick) => tick.toFixed(decimals).replace('-', '\u2212'),
  };
}

/** The smallest of 1, 2, 5 times a power of ten that is at least `least`. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5].map((one) => one * power).find((one) => one >= least) ?? 10 * power;
}
