/** Start, end and pad ids: generation_config.json first, then config.json, then T5's own. */
import { checkInteger, field, fieldError } from './fields.ts';
import type { JsonFile } from './json-file.ts';

interface TokenIds {
  decoderStartTokenId: number;
  eosTokenId: number | number[];
  eosTokenIds: number[];
  padTokenId: number;
}

/** More end tokens than any published file has; a longer list is a broken file. */
const maxEosTokens = 1024;

/** `sources` in order of precedence. An id outside the vocabulary is ERR_CONFIG. */
export function readTokenIds(sources: readonly JsonFile[], vocabSize: number): TokenIds {
  const eosTokenIds = eosIds(sources, vocabSize);
  const [first = 1, ...rest] = eosTokenIds;
  return {
    decoderStartTokenId: singleId(sources, 'decoder_start_token_id', vocabSize, 0),
    eosTokenId: rest.length === 0 ? first : [...eosTokenIds],
    eosTokenIds,
    padTokenId: singleId(sources, 'pad_token_id', vocabSize, 0),
  };
}

function singleId(
  sources: readonly JsonFile[],
  key: string,
  vocabSize: number,
  fallback: number,
): number {
  const source = holder(sources, key);
  if (source === undefined) return inVocabulary(sources, key, vocabSize, fallback);
  return checkInteger(source, key, { min: 0, max: vocabSize - 1 }, field(source, key));
}

function eosIds(sources: readonly JsonFile[], vocabSize: number): number[] {
  const key = 'eos_token_id';
  const source = holder(sources, key);
  if (source === undefined) return [inVocabulary(sources, key, vocabSize, 1)];
  const value = field(source, key);
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  if (ids.length === 0 || ids.length > maxEosTokens) {
    throw fieldError(source, key, `an id or a list of 1 to ${maxEosTokens} ids`, value);
  }
  const range = { min: 0, max: vocabSize - 1 };
  return [...new Set(ids.map((id) => checkInteger(source, key, range, id)))];
}

function holder(sources: readonly JsonFile[], key: string): JsonFile | undefined {
  return sources.find((source) => field(source, key) !== undefined);
}

/** A tiny vocabulary can be too small even for T5's own ids. */
function inVocabulary(
  sources: readonly JsonFile[],
  key: string,
  vocabSize: number,
  id: number,
): number {
  const last = sources.at(-1);
  if (id < vocabSize || last === undefined) return id;
  return checkInteger(last, key, { min: 0, max: vocabSize - 1 }, id);
}
