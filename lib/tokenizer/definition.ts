/**
 * What every vocabulary file is turned into before a tokenizer is built from it: the content of a
 * tokenizer.json, with older spellings brought up to date.
 */
import { damaged, isObject, type JsonObject } from './files.ts';

/** A step of normalization, pre-tokenization, post-processing or decoding: a type and its settings. */
export interface Step extends JsonObject {
  type: string;
}

/** A token beside the model's own pieces. Its text inside an input becomes its id. */
export interface AddedToken {
  id: number;
  content: string;
  /** Left out of decoded text unless asked for. */
  special: boolean;
  /** Whether white space before (after) it belongs to it. */
  lstrip: boolean;
  rstrip: boolean;
  /** Whether it counts only where no character of a word touches it. */
  single_word: boolean;
  /** Whether it is looked for after normalization instead of before. */
  normalized: boolean;
}

export interface UnigramModel {
  type: 'Unigram';
  pieces: string[];
  /** -Infinity: text never turns into this piece. */
  scores: number[];
  unkId: number;
  /** Whether unknown characters are spelled in the byte pieces `<0x00>` to `<0xFF>`. */
  byteFallback: boolean;
}

/** A model that the tokenizers library runs: byte-pair encoding, WordPiece. */
export interface LibraryModel {
  type: 'BPE' | 'WordPiece';
  config: JsonObject;
  pieces: string[];
}

export interface Definition {
  /** The file it came from, for messages. */
  file: string;
  model: UnigramModel | LibraryModel;
  addedTokens: AddedToken[];
  normalizer: Step | null;
  preTokenizer: Step | null;
  postProcessor: Step | null;
  decoder: Step | null;
}

/** Largest id a vocabulary may have; the largest published vocabulary has 256,000. */
const maxId = 2 ** 22;

/** Whether a parsed value can be the id of a piece. */
export function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= maxId;
}

/** An added token with the settings that are usual for special tokens. */
export function addedToken(id: number, content: string, settings: JsonObject = {}): AddedToken {
  return {
    id,
    content,
    special: settings['special'] !== false,
    lstrip: settings['lstrip'] === true,
    rstrip: settings['rstrip'] === true,
    single_word: settings['single_word'] === true,
    normalized: settings['normalized'] === true,
  };
}

/** Piece by id, added tokens included; ids that stand for nothing are holes. */
export function pieceTable(definition: Definition): string[] {
  const table = definition.model.pieces.slice();
  for (const { id, content } of definition.addedTokens) table[id] = content;
  return table;
}

/** A step as it stands in tokenizer.json: null, or an object with a type. */
export function readStep(json: JsonObject, key: string, file: string): Step | null {
  const step = json[key] ?? null;
  if (step === null) return null;
  if (!isStep(step)) throw damaged(file, `"${key}" is not an object with a "type"`);
  return step;
}

function isStep(value: unknown): value is Step {
  return isObject(value) && typeof value['type'] === 'string';
}

/** The character that stands for a space in a Metaspace step. */
export function spaceMark(step: Step): string {
  const mark = step['replacement'];
  return typeof mark === 'string' && mark !== '' ? mark : '▁';
}

/** The steps a step consists of: its parts, where it is a sequence, else itself. */
export function flatten(step: Step | null): Step[] {
  if (step === null) return [];
  if (step.type !== 'Sequence') return [step];
  const parts =
    step['normalizers'] ?? step['pretokenizers'] ?? step['processors'] ?? step['decoders'];
  return Array.isArray(parts) ? parts.filter(isStep).flatMap(flatten) : [];
}
