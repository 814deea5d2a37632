/**
 * The part of the tokenizers library that is used, with its types on one page: the declarations
 * that come with version 0.2.0 do not resolve for ES modules.
 */
import * as exported from '@huggingface/tokenizers';
import type { AddedToken, Step } from './definition.ts';
import type { JsonObject } from './files.ts';

/** Turns the words of a text into pieces. */
export interface LibraryModel {
  (words: string[]): string[];
  tokens_to_ids: Map<string, number>;
  vocab: string[];
  unk_token_id: number;
  unk_token: string;
}

export interface LibraryPreTokenizer {
  pre_tokenize_text(text: string): string[];
  /** Of `ByteLevel`: what its words look like. Of `Split`: where it splits; null if it cannot tell. */
  pattern?: RegExp | null;
}

export interface LibraryTokenizer {
  model: LibraryModel;
  /** The pieces of a text; the second of a pair may be absent. */
  encode_text(text: string | null): string[] | null;
  encode(text: string): { ids: number[] };
}

/** Content of tokenizer.json, as the library takes it. */
interface LibraryInput {
  added_tokens: AddedToken[];
  normalizer: null;
  pre_tokenizer: null;
  post_processor: Step | null;
  decoder: null;
  model: JsonObject;
}

interface Exports {
  Tokenizer: new (json: LibraryInput, config: JsonObject) => LibraryTokenizer;
  SequenceNormalizer: new (config: { type: 'Sequence'; normalizers: Step[] }) => {
    normalize(text: string): string;
  };
  SequenceDecoder: new (config: { type: 'Sequence'; decoders: Step[] }) => {
    decode(pieces: string[]): string;
  };
  SequencePreTokenizer: new (config: { type: 'Sequence'; pretokenizers: Step[] }) => {
    tokenizers: LibraryPreTokenizer[];
  };
  ByteLevelPreTokenizer: new () => LibraryPreTokenizer;
}

export const {
  Tokenizer,
  SequenceNormalizer,
  SequenceDecoder,
  SequencePreTokenizer,
  ByteLevelPreTokenizer,
} = exported as unknown as Exports;
