/**
 * Builds a tokenizer from its definition: the tokenizers library finds the added tokens, splits and
 * post-processes; normalization, the unigram model and decoding are this package's own, because the
 * library's approximate the character map, lack byte fallback and cannot stream.
 */
import { SpeccascadeError } from '../errors.ts';
import type { Codec } from './codec.ts';
import {
  flatten,
  isId,
  pieceTable,
  spaceMark,
  type Definition,
  type UnigramModel,
} from './definition.ts';
import { damaged } from './files.ts';
import {
  ByteLevelPreTokenizer,
  SequenceDecoder,
  Tokenizer as Library,
  WhitespaceSplitPreTokenizer,
  type LibraryModel,
  type LibraryPreTokenizer,
  type LibraryTokenizer,
} from './library.ts';
import { buildNormalizer } from './normalizer.ts';
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
  const { model, addedTokens, normalizer, preTokenizer, postProcessor, file } = definition;
  const isUnigram = model.type === 'Unigram';
  const library = new Library(
    {
      added_tokens: addedTokens,
      normalizer,
      pre_tokenizer: preTokenizer,
      post_processor: postProcessor,
      decoder: null,
      // The library's unigram model would be built only to be replaced.
      model: isUnigram ? { type: 'Unigram', unk_id: 0, vocab: [['', 0]] } : model.config,
    },
    { clean_up_tokenization_spaces: false },
  );
  library.normalizer = buildNormalizer(normalizer, file);
  if (isUnigram) library.model = unigramModel(definition, model, pieces);
  useUnicodeSpaces(library.pre_tokenizer);
  return library;
}

function unigramModel(definition: Definition, model: UnigramModel, pieces: string[]): LibraryModel {
  const ids = new Map(pieces.map((piece, id) => [piece, id]));
  const byteIds = Array.from({ length: 256 }, (_, byte) =>
    ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  );
  const allBytes = byteIds.every((id) => id !== undefined);
  const unigram = new Unigram({
    ...model,
    byteIds: model.byteFallback && allBytes ? byteIds : undefined,
  });
  const metaspace = flatten(definition.preTokenizer).find((step) => step.type === 'Metaspace');
  const mark = metaspace && metaspace['split'] !== false ? spaceMark(metaspace) : '';
  const encode = (texts: string[]): string[] => {
    const found: string[] = [];
    for (const text of texts) {
      for (const word of splitBefore(text, mark)) {
        for (const id of unigram.encode(word)) found.push(pieces[id]!);
      }
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

/** Splits a text before each `mark`; the library's Metaspace leaves that undone. */
function* splitBefore(text: string, mark: string): Generator<string> {
  let start = 0;
  while (start < text.length) {
    const next = mark === '' ? -1 : text.indexOf(mark, start + 1);
    const end = next < 0 ? text.length : next;
    yield text.slice(start, end);
    start = end;
  }
}

/** Makes decoders: streaming where the steps allow it, else one that decodes all at the end. */
function decoderFactory({ decoder }: Definition): () => Stage {
  if (decoder === null) return () => whole((pieces) => pieces.join(' '));
  if (decoderStages(decoder) !== null) return () => chain(decoderStages(decoder)!);
  const library = new SequenceDecoder({ type: 'Sequence', decoders: [decoder] });
  return () => whole((pieces) => library.decode(pieces));
}

/**
 * In the reference words end at Unicode's white space; JavaScript's `\s`, which the library uses,
 * has U+FEFF and lacks U+0085.
 */
const byteLevelWords =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

function useUnicodeSpaces(step: LibraryPreTokenizer | null): void {
  if (step instanceof ByteLevelPreTokenizer) step.pattern = byteLevelWords;
  if (step instanceof WhitespaceSplitPreTokenizer) {
    step.pre_tokenize_text = (text) => text.match(/\P{White_Space}+/gu) ?? [];
  }
  step?.tokenizers?.forEach(useUnicodeSpaces);
}
