/** A line of the input as a request, and an outcome as a line of the output. */
import { SpeccascadeError, type ErrorCode } from '../errors.ts';
import type { RuleInput } from '../rules.ts';
import type { GenerateOptions } from '../session/options.ts';
import type { Result } from '../session/result.ts';
import { checkOptions, checkSeed, inputError, ruleFromJson, seedFromJson } from '../validate.ts';
import type { Source } from './input.ts';

/** What a record may set for itself, in place of the session's. */
const recordOptions = [
  'temperature',
  'topK',
  'topP',
  'seed',
  'rule',
  'maxNewTokens',
  'minNewTokens',
  'stopTokens',
  'suppressTokens',
] as const satisfies readonly (keyof GenerateOptions)[];

type RecordId = string | number;

export interface BatchRecord {
  /** Place in the whole input, from 0; shards count the records of the others. */
  position: number;
  /** The JSON it was read from. */
  source: Source;
  /** Bytes of text up to its end, those of the records before included. */
  textBytes: number;
  /** Its own `id`, or its line, from 1. */
  id: RecordId;
  /** What to decode, or why it cannot be. */
  request: { input: string | Int32Array; options: GenerateOptions } | SpeccascadeError;
}

export type Outcome = { record: BatchRecord } & ({ result: Result } | { error: SpeccascadeError });

/** Failures of one record, as against those of the job. */
const ownFailures: readonly ErrorCode[] = ['ERR_INPUT', 'ERR_NUMERIC'];

export function isRecordFailure(error: unknown): error is SpeccascadeError {
  return error instanceof SpeccascadeError && ownFailures.includes(error.code);
}

/** Reads a record; whatever is wrong with it becomes its `request`. */
export function readRecord(
  source: Source,
  { position, textBytes }: Pick<BatchRecord, 'position' | 'textBytes'>,
  { field, prefix }: { field: string; prefix: string },
): BatchRecord {
  const record: BatchRecord = { position, source, textBytes, id: position + 1, request: unread };
  try {
    if (source instanceof SpeccascadeError) throw source;
    const { id, options, ...fields } = parsed(source) as Record<string, unknown>;
    if (id !== undefined && id !== null) record.id = checkId(id);
    const own = ownOptions(options ?? {});
    record.request = { input: inputOf(field, fields[field], prefix), options: own };
  } catch (error) {
    if (!(error instanceof SpeccascadeError)) throw error;
    record.request = error;
  }
  return record;
}

function ownOptions(given: object): GenerateOptions {
  const options: GenerateOptions = { ...checkOptions('options', given, recordOptions) };
  const { seed, rule } = options;
  if (seed !== undefined) options.seed = checkSeed(seedFromJson(seed));
  if (rule !== undefined) options.rule = ruleFromJson(rule) as RuleInput;
  return options;
}

const unread = new SpeccascadeError('ERR_INPUT', 'not read');

const decoder = new TextDecoder('utf-8', { fatal: true });

function parsed(source: Uint8Array): object {
  let text: string;
  try {
    text = decoder.decode(source);
  } catch {
    throw inputError('record', 'UTF-8', Buffer.from(source).toString('latin1'));
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not the parser's own words: they differ between versions of Node, and lines may not.
    throw inputError('record', 'a JSON object', text);
  }
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isRecord) throw inputError('record', 'a JSON object', value);
  return value as object;
}

function checkId(id: unknown): RecordId {
  if (typeof id === 'string' || Number.isSafeInteger(id)) return id as RecordId;
  throw inputError('id', 'a text or an integer that JSON readers keep (below 2^53)', id);
}

function inputOf(field: string, value: unknown, prefix: string): string | Int32Array {
  if (typeof value === 'string') {
    if (value.trim() === '') throw inputError(field, 'a text that is not empty', value);
    return prefix + value;
  }
  if (!Array.isArray(value)) throw inputError(field, 'a text or a list of token ids', value);
  const odd = value.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= 2 ** 31);
  if (odd >= 0) throw inputError(`${field}[${odd}]`, 'a token id', value[odd]);
  if (value.length === 0) throw inputError(field, 'at least one token id', value);
  return Int32Array.from(value as number[]);
}

/** What a line says besides id, text, length and end. */
export interface LineForm {
  tokens: boolean;
  counters: boolean;
  /** The session's, which decides whether a seed means anything. */
  temperature: number;
}

/** One line of JSON, a function of the record and the job: no times, nothing of its neighbours. */
export function outputLine(outcome: Outcome, form: LineForm): string {
  const { id, position, request } = outcome.record;
  if ('error' in outcome) {
    const { code, message } = outcome.error;
    return `${JSON.stringify({ id, line: position + 1, error: { code, message } })}\n`;
  }
  const { text, tokens, finishReason, seed, stats } = outcome.result;
  const { targetCalls, draftCalls, proposed, tested, accepted } = stats;
  const own = request instanceof SpeccascadeError ? {} : request.options;
  const sampled = (own.temperature ?? form.temperature) > 0;
  const line = {
    id,
    text,
    numTokens: tokens.length,
    finishReason,
    ...(form.tokens ? { tokens } : {}),
    ...(sampled ? { seed: String(seed) } : {}),
    ...(form.counters ? { counters: { targetCalls, draftCalls, proposed, tested, accepted } } : {}),
  };
  return `${JSON.stringify(line)}\n`;
}
