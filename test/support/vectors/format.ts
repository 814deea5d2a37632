/** The format of test/vectors/README.md: cases, rules, and numbers that JSON cannot write. */
import type { NativeRule, NativeRows, NativeScaling } from '../../../lib/native.ts';
import { readJson } from '../models.ts';

export interface VectorCase {
  id: string;
  kind: string;
  in: Record<string, unknown>;
  out: Record<string, unknown>;
  edge?: boolean;
}

/** A number; `"inf"`, `"-inf"`; null, which means that there is none. */
export type Entry = number | string | null;

/** The arithmetic that a case runs in; see NativeRows. */
export type Precision = 'double' | 'float';

export const precisions: readonly Precision[] = ['double', 'float'];

/** A case, or a part of one, that cannot be run here. */
export class Unsupported extends Error {}

export function readVectors(file: string): VectorCase[] {
  const { format, cases } = readJson(file) as { format?: unknown; cases?: unknown };
  if (format !== 'speccascade-rules/1' || !Array.isArray(cases)) {
    throw new Error(`no file of format speccascade-rules/1: ${JSON.stringify(format)}`);
  }
  return cases as VectorCase[];
}

/** Not a number where there is none. */
export function decode(entry: Entry): number {
  if (entry === null) return NaN;
  if (typeof entry === 'number') return entry;
  if (entry === 'inf') return Infinity;
  if (entry === '-inf') return -Infinity;
  throw new Error(`no number: ${entry}`);
}

/** Logits: null is minus infinity, as is everything from index `valid` on. */
export function decodeLogits(entries: Entry[], valid = entries.length): number[] {
  return entries.map((entry, v) => (entry === null || v >= valid ? -Infinity : decode(entry)));
}

/** A rule by the names and parameters of the public constructors, and chowLog, diffLog, optLog. */
export function decodeRule(value: unknown): NativeRule {
  const { rule, alpha, beta, rollback } = value as Record<string, Entry> & { rule: string };
  if (rule === 'lossless') return { kind: 'lossless', alpha: 0, beta: 1 };
  if (rule === 'bild') return { kind: 'bild', alpha: decode(rollback ?? null), beta: 1 };
  const strictness = decode(alpha ?? null);
  if (rule !== 'lossy') {
    return { kind: rule as NativeRule['kind'], alpha: strictness, beta: 1 };
  }
  if (beta === 'matched') return { kind: 'lossyMatched', alpha: strictness, beta: 1 };
  return { kind: 'lossy', alpha: strictness, beta: decode(beta ?? 1) };
}

export function rowsOf(precision: Precision, numbers: ArrayLike<number>): NativeRows {
  return precision === 'double' ? Float64Array.from(numbers) : Float32Array.from(numbers);
}

export function scaling(temperature: unknown, more: Partial<NativeScaling> = {}): NativeScaling {
  return { temperature: temperature as number, topK: 0, topP: 1, probabilities: false, ...more };
}

/** Rows that are probabilities already. */
export const asProbabilities = scaling(1, { probabilities: true });
