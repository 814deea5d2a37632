/** Typed access to the keys of a configuration file; every failure names file, key and value. */
import type { SpeccascadeError } from '../errors.ts';
import type { JsonFile } from './json-file.ts';
import { configError, show } from './messages.ts';

/** An inclusive range of integers. */
export interface IntegerRange {
  min: number;
  max: number;
}

/** ERR_CONFIG for one key of a file. */
export function fieldError(
  source: JsonFile,
  key: string,
  expected: string,
  value: unknown,
): SpeccascadeError {
  return configError(`${source.file}: ${key}`, `expected ${expected}, received ${show(value)}`);
}

/** The value of a key; undefined where it is absent or null, which published files use alike. */
export function field(source: JsonFile, key: string): unknown {
  return Object.hasOwn(source.value, key) ? (source.value[key] ?? undefined) : undefined;
}

export function integerField(
  source: JsonFile,
  key: string,
  range: IntegerRange,
): number | undefined {
  const value = field(source, key);
  return value === undefined ? undefined : checkInteger(source, key, range, value);
}

/** Throws unless `value` is an integer of the range. */
export function checkInteger(
  source: JsonFile,
  key: string,
  { min, max }: IntegerRange,
  value: unknown,
): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) {
    return value;
  }
  throw fieldError(source, key, `an integer from ${min} to ${max}`, value);
}

/** A number above 0 and at most `max`. */
export function positiveField(source: JsonFile, key: string, max: number): number | undefined {
  const value = field(source, key);
  if (value === undefined) return undefined;
  if (typeof value === 'number' && value > 0 && value <= max) return value;
  throw fieldError(source, key, `a number above 0 and at most ${max}`, value);
}

export function booleanField(source: JsonFile, key: string): boolean | undefined {
  const value = field(source, key);
  if (value === undefined || typeof value === 'boolean') return value;
  throw fieldError(source, key, 'true or false', value);
}

export function stringField(source: JsonFile, key: string): string | undefined {
  const value = field(source, key);
  if (value === undefined || typeof value === 'string') return value;
  throw fieldError(source, key, 'a string', value);
}
