/** Rows that callers of single operations hand in: their type, shape and numbers, checked. */
import { SpeccascadeError } from '../errors.ts';
import type { NativeScaling } from '../native.ts';
import { checkInteger, checkTemperature, checkTopP, inputError, isDetached } from '../validate.ts';

/** Numbers of rows, one row after another. Float32Array: float arithmetic; Float64Array: double. */
export type Rows = Float32Array | Float64Array;

/** How logits become the rows that tokens are drawn from. */
export interface ScalingOptions {
  /** Logits are divided by it before the softmax; default 1; 0: one-hot at the largest. */
  temperature?: number | undefined;
  /** Keep the k most probable tokens; 0 (default): all. */
  topK?: number | undefined;
  /** Then the most probable ones whose mass first reaches this, above 0, at most 1 (default: all). */
  topP?: number | undefined;
}

/** What a row's sum may be away from 1. */
const sumTolerance = 1e-3;

export function checkScaling(
  options: ScalingOptions,
  vocab: number,
  probabilities = false,
): NativeScaling {
  const topK = checkInteger('topK', options.topK ?? 0, 0, 2 ** 30);
  return {
    temperature: checkTemperature(options.temperature ?? 1),
    topK: Math.min(topK, vocab),
    topP: checkTopP(options.topP ?? 1),
    probabilities,
  };
}

/** The index of a GPU that a single operation shall run on; null for the CPU, which 'auto' is. */
export function checkDevice(device: string | undefined): number | null {
  const given: unknown = device ?? 'auto';
  if (given === 'auto' || given === 'cpu') return null;
  const gpu = typeof given === 'string' ? /^cuda(?::(\d{1,3}))?$/.exec(given) : null;
  if (gpu === null) throw inputError('device', 'auto, cpu, cuda or cuda:N', device);
  return Number(gpu[1] ?? 0);
}

/** GPUs compute in float. */
export function checkFloats(name: string, rows: Rows | null): Float32Array {
  if (rows instanceof Float32Array) return rows;
  throw new SpeccascadeError('ERR_DEVICE', `${name}: double precision is the CPU's alone`);
}

/** Rows of the right length, and of the type of `like`: float and double rows do not mix. */
export function checkRowArray(
  name: string,
  value: unknown,
  rows: number,
  vocab: number,
  like?: Rows,
): Rows {
  const type = like === undefined ? 'Float32Array or Float64Array' : like.constructor.name;
  const isRows = value instanceof Float32Array || value instanceof Float64Array;
  const isLike = like === undefined || value?.constructor === like.constructor;
  if (!isRows || !isLike || isDetached(value)) {
    throw inputError(name, `a ${type}`, value);
  }
  if (value.length === rows * vocab) return value;
  throw inputError(name, `${rows} rows of ${vocab} numbers (${rows * vocab})`, value.length);
}

/** Logits: finite or minus infinity, and in every row a token that can be drawn. */
export function checkLogits(
  name: string,
  rows: Rows,
  vocab: number,
  isRead: (row: number) => boolean = () => true,
): void {
  for (let row = 0; row * vocab < rows.length; row += 1) {
    if (!isRead(row)) continue;
    let largest = -Infinity;
    for (let at = row * vocab; at < (row + 1) * vocab; at += 1) {
      const logit = rows[at]!;
      if (!(logit < Infinity)) {
        throw numericError(name, at, vocab, 'a number or minus infinity', logit);
      }
      if (logit > largest) largest = logit;
    }
    if (largest === -Infinity) {
      throw inputError(`${name} (row ${row})`, 'a token above minus infinity', 'none');
    }
  }
}

/** Probabilities: from 0 to 1, each row summing to 1 (within 0.001). */
export function checkProbabilities(name: string, rows: Rows, vocab: number): void {
  for (let row = 0; row * vocab < rows.length; row += 1) {
    let sum = 0;
    for (let at = row * vocab; at < (row + 1) * vocab; at += 1) {
      const value = rows[at]!;
      if (Number.isNaN(value)) throw numericError(name, at, vocab, 'a probability', value);
      if (value < 0 || value > 1 + sumTolerance) {
        throw inputError(place(name, at, vocab), 'a probability', value);
      }
      sum += value;
    }
    if (Math.abs(sum - 1) > sumTolerance) {
      throw inputError(`${name} (row ${row})`, 'probabilities that sum to 1', sum);
    }
  }
}

function place(name: string, at: number, vocab: number): string {
  return `${name}[${at}] (row ${Math.floor(at / vocab)}, token ${at % vocab})`;
}

function numericError(
  name: string,
  at: number,
  vocab: number,
  expected: string,
  value: number,
): SpeccascadeError {
  const where = place(name, at, vocab);
  return new SpeccascadeError('ERR_NUMERIC', `${where}: expected ${expected}, received ${value}`);
}
