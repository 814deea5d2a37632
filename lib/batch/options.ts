/** What a batch job may be told: checked, defaults filled in. */
import { DecodeSession } from '../session.ts';
import {
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOptions,
  checkPath,
  checkSeed,
  checkSignal,
  inputError,
} from '../validate.ts';
import type { LineForm } from './record.ts';

export interface BatchOptions {
  /** Decodes the records, at most `maxBatch` at a time; it stays open. Other callers may use it. */
  session: DecodeSession;
  /**
   * JSON lines: a path (.gz and .zst are decompressed), '-' for standard input, or the records
   * themselves, taken as they are needed.
   */
  input: string | AsyncIterable<unknown> | Iterable<unknown>;
  /** A path (.gz and .zst are compressed), or '-' for standard output, which cannot be resumed. */
  output: string;
  /** Which field of a record holds its text or token ids; default 'text'. */
  field?: string | undefined;
  /** Put in front of every text; default nothing. */
  prefix?: string | undefined;
  /** Every record's own seed comes from this and its place in the input; default the session's, else 0. */
  seed?: number | bigint | undefined;
  /** Whether lines hold the ids of the output; default false. Always for a target without tokenizer. */
  tokens?: boolean | undefined;
  /**
   * Whether lines hold the counters of the decoding; default false. Not with `lengths: 'load'`, where
   * they depend on the load and a resumed job would differ in them.
   */
  counters?: boolean | undefined;
  /** Go on with an interrupted job of the same output, or begin it; default false. */
  resume?: boolean | undefined;
  /** Begin anew where the output exists already; default false. */
  overwrite?: boolean | undefined;
  /** Only records index, index + count, ... of the input, counted from 1. */
  shard?: { index: number; count: number } | undefined;
  /** Decode records of similar length together, within 16 x maxBatch of them; default false. */
  orderByLength?: boolean | undefined;
  /** Time between two checkpoints, 0 to 3600 s, 0 being one after every line; default 2. */
  checkpointSeconds?: number | undefined;
  /** Ends the job with ERR_ABORTED, after a last checkpoint. */
  signal?: AbortSignal | undefined;
  /**
   * Called when the job begins and after every line. What it throws ends the job, which rejects with
   * it after a last checkpoint.
   */
  onProgress?: ((progress: BatchProgress) => void) | undefined;
}

export interface BatchProgress {
  /** Lines of the output so far. */
  records: number;
  /** Those that hold an error. */
  failed: number;
  /** Those that an earlier run of the job wrote. */
  resumed: number;
  /** Tokens generated, by earlier runs too. */
  tokens: number;
  /** Drafted positions tested and accepted by this run. */
  tested: number;
  accepted: number;
  /** Bytes of the input file that are done, about, and its size; null: the input is no file. */
  bytesRead: number;
  bytes: number | null;
}

export interface BatchSettings extends LineForm {
  session: DecodeSession;
  input: BatchOptions['input'];
  output: string;
  field: string;
  prefix: string;
  seed: bigint;
  resume: boolean;
  overwrite: boolean;
  shard: { index: number; count: number };
  orderByLength: boolean;
  checkpointMs: number;
  signal: AbortSignal | undefined;
  onProgress: (progress: BatchProgress) => void;
}

const keys = [
  'session',
  'input',
  'output',
  'field',
  'prefix',
  'seed',
  'tokens',
  'counters',
  'resume',
  'overwrite',
  'shard',
  'orderByLength',
  'checkpointSeconds',
  'signal',
  'onProgress',
] as const satisfies readonly (keyof BatchOptions)[];

const pathOrStream = "a path or '-'";

/** Fields that mean something of their own. */
const reservedFields = ['id', 'options'];

/** Throws ERR_INPUT naming the option, ERR_CLOSED. */
export function checkBatchOptions(given: BatchOptions): BatchSettings {
  const options = checkOptions('batch options', given, keys);
  const { session } = given;
  if (!(session instanceof DecodeSession)) throw inputError('session', 'a DecodeSession', session);
  session.checkOpen(); // before there is an output that a closed session cannot fill
  const { target, defaults, followsLoad, reproducible } = session.settings;
  if (followsLoad && !reproducible) {
    throw inputError('session', 'one that is reproducible, as a resumed job has to be', false);
  }
  const counters = checkBoolean('counters', options.counters ?? false);
  if (counters && followsLoad) {
    throw inputError('counters', "false with lengths: 'load', on which they depend", counters);
  }
  const field = checkText('field', options.field ?? 'text');
  if (field === '' || reservedFields.includes(field)) {
    throw inputError('field', `a name other than ${reservedFields.join(' and ')}`, field);
  }
  const tokens = checkBoolean('tokens', options.tokens ?? false);
  const output = checkPath('output', options.output, pathOrStream);
  const resume = checkBoolean('resume', options.resume ?? false);
  const overwrite = checkBoolean('overwrite', options.overwrite ?? false);
  if (resume && overwrite) throw inputError('overwrite', 'false with resume', overwrite);
  if (output === '-') checkNoFile(options);
  const { onProgress = () => {} } = options;
  if (typeof onProgress !== 'function') throw inputError('onProgress', 'a function', onProgress);
  const seconds = options.checkpointSeconds ?? 2;
  return {
    session,
    input: checkInput(options.input),
    output,
    field,
    prefix: checkText('prefix', options.prefix ?? ''),
    seed: options.seed === undefined ? (defaults.seed ?? 0n) : checkSeed(options.seed),
    tokens: tokens || target.tokenizer === null,
    counters,
    temperature: defaults.temperature,
    resume,
    overwrite,
    shard: checkShard(options.shard ?? { index: 1, count: 1 }),
    orderByLength: checkBoolean('orderByLength', options.orderByLength ?? false),
    checkpointMs: 1000 * checkNumber('checkpointSeconds', seconds, 0, 3600),
    signal: checkSignal(options.signal),
    onProgress,
  };
}

/** What is of files alone. */
function checkNoFile({ resume, overwrite, checkpointSeconds }: BatchOptions): void {
  const expected = (what: string) => `${what} for standard output, which holds nothing`;
  if (resume) throw inputError('resume', expected('false'), resume);
  if (overwrite) throw inputError('overwrite', expected('false'), overwrite);
  if (checkpointSeconds !== undefined) {
    throw inputError('checkpointSeconds', expected('none'), checkpointSeconds);
  }
}

function checkInput(input: unknown): BatchOptions['input'] {
  if (typeof input === 'string') return checkPath('input', input, pathOrStream);
  const iterable =
    typeof input === 'object' &&
    input !== null &&
    (Symbol.asyncIterator in input || Symbol.iterator in input);
  if (iterable) return input as BatchOptions['input'];
  throw inputError('input', "a path, '-' or an iterable of records", input);
}

function checkShard(shard: { index: number; count: number }): { index: number; count: number } {
  checkOptions('shard', shard, ['index', 'count']);
  const count = checkInteger('shard.count', shard.count, 1, 2 ** 20);
  return { index: checkInteger('shard.index', shard.index, 1, count), count };
}

function checkText(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw inputError(name, 'a text', value);
}
