/** Comparison of one case's results with what the file says, and the tolerances for it. */
import { decode, type Entry, type Precision } from './format.ts';

/** Absolute, from test/vectors/README.md: of probabilities and rates, and of block thresholds. */
const tolerances = {
  double: { probability: 1e-9, threshold: 1e-9 },
  float: { probability: 2e-5, threshold: 1e-4 },
};

/**
 * A residual row is a difference of rows over its mass, so it carries their rounding over that mass
 * (in a law it weighs the mass alone): `rounding` is a few units in the last place of numbers near
 * 1. Below `empty` (twice the bound in native/decode/accept_chain.h) it may count as nothing.
 */
const noise = {
  double: { rounding: 4 * 2 ** -53, empty: 2e-12 },
  float: { rounding: 4 * 2 ** -24, empty: 2e-6 },
};

function plain(value: unknown): unknown {
  return ArrayBuffer.isView(value) ? Array.from(value as Int32Array) : value;
}

export class Check {
  readonly precision: Precision;
  /** The GPU that computes the case; null: the CPU. */
  readonly device: number | null;
  /** Largest absolute error of a number. */
  worst = 0;
  /** The same of residual rows of so little mass that their tolerance is wider. */
  worstResidual = 0;
  readonly failures: string[] = [];

  constructor(precision: Precision, device: number | null = null) {
    this.precision = precision;
    this.device = device;
  }

  get tolerance(): number {
    return tolerances[this.precision].probability;
  }

  get thresholdTolerance(): number {
    return tolerances[this.precision].threshold;
  }

  /** A number; undefined ones (null) must be undefined. */
  near(name: string, actual: number, expected: Entry, tolerance = this.tolerance): void {
    const wanted = decode(expected);
    if (Number.isNaN(wanted) && Number.isNaN(actual)) return;
    if (wanted === actual) return;
    const error = Math.abs(actual - wanted);
    if (tolerance > this.thresholdTolerance) {
      this.worstResidual = Math.max(this.worstResidual, error);
    } else if (error > this.worst) {
      this.worst = error;
    }
    if (!(error <= tolerance)) this.fail(name, actual, wanted);
  }

  /** A row; entries that are null in the file are not compared. */
  row(name: string, actual: ArrayLike<number>, expected: Entry[], tolerance?: number): void {
    if (actual.length !== expected.length) {
      this.fail(`length of ${name}`, actual.length, expected.length);
      return;
    }
    expected.forEach((entry, i) => {
      if (entry !== null) this.near(`${name}[${i}]`, actual[i]!, entry, tolerance);
    });
  }

  /** How near numbers are to be that were divided by this mass. */
  residualTolerance(mass: number): number {
    return Math.max(this.tolerance, noise[this.precision].rounding / mass);
  }

  /** A residual row of this mass; undefined (null) where nothing is ever rejected. */
  residual(
    name: string,
    actual: ArrayLike<number> | null,
    expected: Entry[] | null,
    mass: number,
  ): void {
    if (actual !== null && expected !== null) {
      this.row(name, actual, expected, this.residualTolerance(mass));
      return;
    }
    // Of so little mass that the arithmetic draws from pi instead.
    const isNoise = actual === null && mass < noise[this.precision].empty;
    if (actual !== expected && !isNoise) this.fail(name, actual, expected);
  }

  /** Decisions: exactly. */
  same(name: string, actual: unknown, expected: unknown): void {
    if (JSON.stringify(plain(actual)) !== JSON.stringify(plain(expected))) {
      this.fail(name, actual, expected);
    }
  }

  private fail(name: string, actual: unknown, expected: unknown): void {
    const show = (value: unknown): string =>
      typeof value === 'number' ? String(value) : JSON.stringify(plain(value));
    this.failures.push(`${name}: ${show(actual)} instead of ${show(expected)}`);
  }
}
