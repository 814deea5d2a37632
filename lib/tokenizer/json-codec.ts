/**
 * Builds a tokenizer from its definition: the tokenizers library merges byte pairs, splits word
 * pieces and post-processes, and has the rarer steps of the rest. Added tokens, normalization, words,
 * the unigram model and decoding are this package's own, because the library's approximate the
 * character map, know JavaScript's classes of characters only, lack byte fallback and cannot stream.
 */
import { SpeccascadeError } from '../errors.ts';
import { TokenFinder } from './added-tokens.ts';
import type { Codec } from './codec.ts';
import { isId, pieceTable, type Definition, type UnigramModel } from './definition.ts';
import { damaged } from './files.ts';
import {
  SequenceDecoder,
  Tokenizer as Library,
  type LibraryModel,
  type LibraryTokenizer,
} from './library.ts';
import { buildNormalizer } from './normalizer.ts';
import { buildPreTokenizer } from './pre-tokenizer.ts';
import { chain, decoderStages, whole, type Stage } from './stages.ts';
import { Unigram } from './unigram.ts';

/**
 * The tokenizer a definition describes. `endToken` is the text of the end token, appended to encoded
 * text where the definition's post-processing adds nothing.
 * Throws ERR_CHECKPOINT when the library cannot build it, or it lacks the end token it needs.
 */
export function jsonCodec(definition: Definition, kind: Codec['kind'], endToken: string): Codec {
  const { file, addedTokens } = definition;
  const pieces = pieceTable(definition);
  const { library, decoder } = guarded(file, () => ({
    library: buildLibrary(definition, pieces),
    decoder: decoderFactory(definition),
  }));
  const frame = guarded(file, () => library.encode('').ids);
  if (!frame.every(isId)) throw damaged(file, 'post_processor adds a token the vocabulary lacks');
  const end = frame.length === 0 ? [pieces.indexOf(endToken)] : [];
  if (end[0] === -1) throw damaged(file, `has no end token ${JSON.stringify(endToken)}`);

  return {
    kind,
    pieces,
    specialIds: new Set(addedTokens.filter((token) => token.special).map((token) => token.id)),
    encode: (text) => [...library.encode(text).ids, ...end],
    decoder,
  };
}

/** Runs a step of building; what the library throws becomes ERR_CHECKPOINT. */
function guarded<T>(file: string, build: () => T): T {
  try {
    return build();
  } catch (cause) {
    if (cause instanceof SpeccascadeError) throw cause;
    throw damaged(file, `not a usable tokenizer (${(cause as Error).message})`, cause);
  }
}

function buildLibrary(definition: Definition, pieces: string[]): LibraryTokenizer {
  const { model, addedTokens, postProcessor } = definition;
  const isUnigram = model.type === 'Unigram';
  const library = new Library(
    {
      // The library would take the normalized text of a token for another name of it.
      added_tokens: addedTokens.map((token) => ({ ...token, normalized: false })),
      normalizer: null,
      pre_tokenizer: null,
      post_processor: postProcessor,
      decoder: null,
      // The library's unigram model would be built only to be replaced.
      model: isUnigram ? { type: 'Unigram', unk_id: 0, vocab: [['', 0]] } : model.config,
    },
    { clean_up_tokenization_spaces: false },
  );
  if (isUnigram) library.model = unigramModel(model, pieces);
  else forgetAdded(library.model, definition);
  const toPieces = textEncoder(definition, library.model);
  library.encode_text = (text) => (text === null ? null : toPieces(text));
  return library;
}

/**
 * The library puts added tokens into the table that its model looks words up in. Text between added
 * tokens never becomes one of them: not `word` in `wordy`, where it does not stand alone.
 */
function forgetAdded(library: LibraryModel, { model, addedTokens }: Definition): void {
  const own = new Set(model.pieces);
  for (const { content } of addedTokens) {
    if (!own.has(content)) library.tokens_to_ids.delete(content);
  }
}

/**
 * Text to pieces. Added tokens are taken out before normalization or after it, as each of them
 * says; what lies between is normalized, split into words and given to the model.
 */
function textEncoder(definition: Definition, model: LibraryModel): (text: string) => string[] {
  const { addedTokens, file } = definition;
  const normalize = buildNormalizer(definition.normalizer, file) ?? ((text: string) => text);
  const split = buildPreTokenizer(definition.preTokenizer) ?? ((text: string) => [text]);
  const written = addedTokens.filter((token) => !token.normalized);
  const normalized = addedTokens.filter((token) => token.normalized);
  const asWritten = new TokenFinder(written, (content) => content);
  const afterwards = new TokenFinder(normalized, normalize);

  return (text) =>
    asWritten.split(text).flatMap((outer) => {
      if (outer.token) return [outer.token.content];
      const normal = normalize(outer.text);
      // Where normalization drops a leading space, the text no longer begins at the start.
      const dropped = outer.text.startsWith(' ') && !/^[ ▁]/.test(normal);
      return afterwards.split(normal).flatMap((inner) => {
        if (inner.token) return [inner.token.content];
        const first = outer.start === 0 && inner.start === 0 && !dropped;
        // One by one: the library would make one of unknown pieces in neighbouring words, too.
        return split(inner.text, first).flatMap((word) => model([word]));
      });
    });
}

function unigramModel(model: UnigramModel, pieces: string[]): LibraryModel {
  const ids = new Map<string, number>();
  pieces.forEach((piece, id) => ids.set(piece, id)); // passes over ids without a piece
  const byteIds = Array.from({ length: 256 }, (_, byte) =>
    ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  );
  const allBytes = byteIds.every((id) => id !== undefined);
  const unigram = new Unigram({
    ...model,
    byteIds: model.byteFallback && allBytes ? byteIds : undefined,
  });
  const encode = (words: string[]): string[] => {
    const found: string[] = [];
    for (const word of words) {
      for (const id of unigram.encode(word)) found.push(pieces[id]!);
    }
    return found;
  };
  return Object.assign(encode, {
    tokens_to_ids: ids,
    vocab: pieces,
    unk_token_id: model.unkId,
    unk_token: pieces[model.unkId]!,
  });
}

/** Makes decoders: streaming where the steps allow it, else one that decodes all at the end. */
function decoderFactory({ decoder }: Definition): () => Stage {
  if (decoder === null) return () => whole((pieces) => pieces.join(' '));
  if (decoderStages(decoder) !== null) return () => chain(decoderStages(decoder)!);
  const library = new SequenceDecoder({ type: 'Sequence', decoders: [decoder] });
  return () => whole((pieces) => library.decode(pieces));
}
