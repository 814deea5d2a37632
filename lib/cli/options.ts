/** The options of a command as one table: parsed by it, checked by it, and printed by --help. */
import { parseArgs } from 'node:util';
import { show } from '../validate.ts';

/** A command line that means nothing; ends the program with exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface Option<T> {
  readonly help: string;
  /** What stands for the value in the help; null: a flag without value. */
  readonly placeholder: string | null;
  readonly repeatable: boolean;
  /** What holds where the option is not given, in words; null: nothing to say. */
  readonly shownDefault: string | null;
  /** From what was given, in order (nothing: not given). Throws UsageError. */
  read(given: readonly string[]): T;
}

export type OptionTable = Record<string, Option<unknown>>;

/** What a command gets for its table. */
export type Values<T extends OptionTable> = {
  [K in keyof T]: T[K] extends Option<infer V> ? V : never;
};

interface Described<D> {
  help: string;
  value: string;
  default?: D;
  /** In place of the default in the help, where it is not one value. */
  shownDefault?: string;
}

interface Ranged<D> extends Described<D> {
  min: number;
  max: number;
}

/** An option that is there or not. */
export function flag(help: string): Option<boolean> {
  return {
    help,
    placeholder: null,
    repeatable: false,
    shownDefault: null,
    read: (given) => given.length > 0,
  };
}

/** Any text, or one of `choices`, or what `pattern` allows (`expected` says it in words). */
export function text<const D extends string | undefined = undefined>(
  option: Described<D> & { choices?: readonly string[]; pattern?: RegExp; expected?: string },
): Option<string | D> {
  const { choices, pattern } = option;
  return valued(option, (given) => {
    if (choices?.includes(given) === false) throw wrong(`one of ${choices.join(', ')}`, given);
    if (pattern?.test(given) === false) throw wrong(option.expected ?? String(pattern), given);
    return given;
  });
}

/** A text that may be given several times. */
export function texts(option: Described<never>): Option<string[]> {
  return { ...valued(option, String), repeatable: true, read: (given) => [...given] };
}

export function integer<const D extends number | undefined = undefined>(
  option: Ranged<D>,
): Option<number | D> {
  return valued(option, (given) => readInteger(given, option));
}

/** Integers with commas between them. */
export function integers<const D extends number[] | undefined = undefined>(
  option: Ranged<D>,
): Option<number[] | D> {
  const shownDefault = option.default?.join(',') ?? '';
  return valued({ shownDefault, ...option }, (given) =>
    given.split(',').map((part) => readInteger(part, option)),
  );
}

/** Finite numbers with commas between them. */
export function numbers(option: Ranged<number[]>): Option<number[]> {
  const shownDefault = option.default?.join(',') ?? '';
  return valued({ shownDefault, ...option }, (given) =>
    given.split(',').map((part) => readNumber(part, option)),
  );
}

/** A finite number; with `aboveMin`, `min` itself is not allowed. */
export function number<const D extends number | undefined = undefined>(
  option: Ranged<D> & { aboveMin?: boolean },
): Option<number | D> {
  return valued(option, (given) => readNumber(given, option));
}

/** A 64-bit seed. */
export function seed(option: Described<undefined>): Option<bigint | undefined> {
  return valued(option, (given) => {
    const value = /^\d{1,20}$/.test(given) ? BigInt(given) : -1n;
    if (value >= 0n && value < 2n ** 64n) return value;
    throw wrong('an integer from 0 to 2^64 - 1', given);
  });
}

/** Takes a command line apart. Throws UsageError naming the option. */
export function readOptions<T extends OptionTable>(
  table: T,
  argv: string[],
): { values: Values<T>; positionals: string[] } {
  const { values: given, positionals } = parse(table, argv);
  const entries = Object.entries(table).map(([name, option]) => {
    try {
      const raw = given[name] ?? [];
      return [name, option.read(Array.isArray(raw) ? raw.map(String) : [String(raw)])];
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      throw new UsageError(`--${name}: ${error.message}`);
    }
  });
  return { values: Object.fromEntries(entries) as Values<T>, positionals };
}

function parse(table: OptionTable, argv: string[]): ReturnType<typeof parseArgs> {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { placeholder }]) => [
      name,
      placeholder === null
        ? ({ type: 'boolean' } as const)
        : ({ type: 'string', multiple: true } as const),
    ]),
  );
  try {
    return parseArgs({ args: argv, options, allowPositionals: true, strict: true });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith('ERR_PARSE_ARGS') !== true) throw error;
    const unknown = code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION';
    // What follows the first sentence is advice on texts that begin with a dash, hard to read.
    const problem = unknown ? message.split('. ', 1)[0]! : message;
    throw new UsageError(problem.replaceAll('\n', ' '));
  }
}

/** Given at most once: which of two is meant nobody can know. */
function valued<T, D>(option: Described<D>, readOne: (given: string) => T): Option<T | D> {
  const byDefault = option.default;
  return {
    help: option.help,
    placeholder: option.value,
    repeatable: false,
    shownDefault: option.shownDefault ?? (byDefault === undefined ? null : String(byDefault)),
    read: (given) => {
      if (given.length > 1) throw new UsageError(`expected once, received ${given.length} times`);
      return given.length === 0 ? (byDefault as D) : readOne(given[0]!);
    },
  };
}

function readNumber(
  given: string,
  { min, max, aboveMin = false }: { min: number; max: number; aboveMin?: boolean },
): number {
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(given) ? Number(given) : NaN;
  if (value <= max && (aboveMin ? value > min : value >= min)) return value;
  const range = aboveMin ? `above ${min}, at most ${max}` : `from ${min} to ${max}`;
  throw wrong(`a number ${range}`, given);
}

function readInteger(given: string, { min, max }: { min: number; max: number }): number {
  const value = /^[+-]?\d{1,15}$/.test(given) ? Number(given) : NaN;
  if (value >= min && value <= max) return value;
  throw wrong(`an integer from ${min} to ${max}`, given);
}

function wrong(expected: string, given: string): UsageError {
  return new UsageError(`expected ${expected}, received ${show(given)}`);
}
