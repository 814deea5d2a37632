/** Checks on what callers pass, with one shape of message: expected, where, received. */
import { SpeccascadeError } from './errors.ts';

/** A value as it should stand in an error message: short, and telling its type. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80));
  if (typeof value === 'bigint') return `${value}n`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) {
    const name = value.constructor?.name ?? 'no class';
    return ArrayBuffer.isView(value) && isDetached(value)
      ? `a detached ${name}`
      : `an object (${name})`;
  }
  return String(value);
}

export function inputError(name: string, expected: string, received: unknown): SpeccascadeError {
  return new SpeccascadeError(
    'ERR_INPUT',
    `${name}: expected ${expected}, received ${show(received)}`,
  );
}

export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
    return value;
  }
  throw inputError(name, `an integer from ${min} to ${max}`, value);
}

/** A finite number with min <= value <= max. */
export function checkNumber(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max && Number.isFinite(value)) {
    return value;
  }
  const range = max === Infinity ? `a finite number >= ${min}` : `a number from ${min} to ${max}`;
  throw inputError(name, range, value);
}

/** Above float32's largest number, the type that logits are divided in, there is no temperature. */
export function checkTemperature(value: unknown): number {
  const temperature = checkNumber('temperature', value, 0, Infinity);
  if (Number.isFinite(Math.fround(temperature))) return temperature;
  throw inputError('temperature', 'a number that float32 can hold, below 3.4e38', value);
}

/** Above 0 as a float32, at most 1. */
export function checkTopP(value: unknown): number {
  const topP = checkNumber('topP', value, 0, 1);
  if (Math.fround(topP) > 0) return topP;
  throw inputError('topP', 'a number above 0 (as a float32), at most 1', value);
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw inputError(name, 'true or false', value);
}

export function checkOneOf<T extends string>(
  name: string,
  value: unknown,
  allowed: readonly T[],
): T {
  if (allowed.includes(value as T)) return value as T;
  throw inputError(name, `one of ${allowed.join(', ')}`, value);
}

export function checkPath(name: string, value: unknown, expected = 'a path'): string {
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value;
  throw inputError(name, expected, value);
}

/** Whether the memory of an array was given away, to another thread for instance. */
export function isDetached({ buffer }: ArrayBufferView): boolean {
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

/** A typed array of that class, whose memory is there. */
export function checkArrayOf<T extends ArrayBufferView>(
  name: string,
  value: unknown,
  type: new () => T,
): T {
  if (value instanceof type && !isDetached(value)) return value;
  throw inputError(name, `${type.name.startsWith('I') ? 'an' : 'a'} ${type.name}`, value);
}

/** Token ids inside a vocabulary, as the native side takes them. */
export function checkTokens(name: string, value: unknown, vocabSize: number): Int32Array {
  const isList = Array.isArray(value) || (value instanceof Int32Array && !isDetached(value));
  if (!isList) throw inputError(name, 'a list of token ids', value);
  let i = 0;
  for (const id of value as ArrayLike<unknown> & Iterable<unknown>) {
    const inside = typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize;
    if (!inside) throw inputError(`${name}[${i}]`, `token ids from 0 to ${vocabSize - 1}`, id);
    i += 1;
  }
  return Int32Array.from(value as ArrayLike<number>);
}

/** A 64-bit seed. */
export function checkSeed(seed: unknown): bigint {
  const isInteger = typeof seed === 'bigint' || Number.isSafeInteger(seed);
  const value = isInteger ? BigInt(seed as bigint | number) : -1n;
  if (value >= 0n && value < 2n ** 64n) return value;
  throw inputError('seed', 'an integer from 0 to 2^64 - 1 (a bigint above 2^53)', seed);
}

/** In JSON, whose numbers end at 2^53, a seed may be a text of its digits. */
export function seedFromJson(seed: unknown): unknown {
  return typeof seed === 'string' && /^\d{1,20}$/.test(seed) ? BigInt(seed) : seed;
}

/** In JSON, which has no infinite numbers, a parameter of a rule may be 'Infinity' or '-Infinity'. */
export function ruleFromJson(rule: unknown): unknown {
  if (typeof rule !== 'object' || rule === null) return rule;
  const infinite = (value: unknown): unknown =>
    value === 'Infinity' || value === '-Infinity' ? Number(value) : value;
  return Object.fromEntries(Object.entries(rule).map(([key, value]) => [key, infinite(value)]));
}

export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw inputError('signal', 'an AbortSignal', signal);
}

/** Refuses option names that mean nothing, so that a misspelt one is not silently ignored. */
export function checkKeys(name: string, value: object, known: readonly string[]): void {
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    const expected = known.length > 0 ? `only the options ${known.join(', ')}` : 'no options';
    throw inputError(name, expected, key);
  }
}

export function checkObject(name: string, value: unknown): object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw inputError(name, 'an object of options', value);
}

/** Options by known names; those that are null count as not given, everywhere. */
export function checkOptions<T extends object>(
  name: string,
  value: T,
  known: readonly string[],
): T {
  checkKeys(name, checkObject(name, value), known);
  if (!Object.values(value).includes(null)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null)) as T;
}
