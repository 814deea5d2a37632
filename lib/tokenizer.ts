/** Text to ids and back, for every form in which T5 checkpoints carry their vocabulary. */
import { createHash } from 'node:crypto';
import { SpeccascadeError } from './errors.ts';
import type { Codec } from './tokenizer/codec.ts';
import { findCodec } from './tokenizer/source.ts';
import { modelVocabSize } from './tokenizer/special-tokens.ts';
import { TokenStream, type DecodeOptions } from './tokenizer/token-stream.ts';
import { checkPath } from './validate.ts';

export { TokenStream, type DecodeOptions };

export class Tokenizer {
  /**
   * Where the vocabulary came from. Byte-level vocabularies in vocab.json and merges.txt (CodeT5)
   * count as 'tokenizer.json', whose form they are brought into.
   */
  readonly kind: 'tokenizer.json' | 'spiece.model' | 'byt5';
  /** Number of ids that stand for something: pieces and added tokens, without the checkpoint's padding. */
  readonly vocabSize: number;
  readonly #codec: Codec;
  /** Ids that decoding accepts: the model's rows, padding included. */
  readonly #rows: number;
  #fingerprint: string | undefined;

  private constructor(codec: Codec, rows: number | undefined) {
    this.#codec = codec;
    this.kind = codec.kind;
    this.vocabSize = codec.pieces.length;
    this.#rows = Math.max(rows ?? 0, this.vocabSize);
  }

  /**
   * Loads the tokenizer of a checkpoint folder; null if it has none. tokenizer.json is preferred,
   * then spiece.model (unigram), then vocab.json with merges.txt, then ByT5's bytes if
   * tokenizer_config.json or config.json names that tokenizer. Added tokens of the small JSON files
   * beside them are respected; no id reaches config.json's vocab_size.
   *
   * Throws ERR_CHECKPOINT (file and reason) for a folder or file that is missing, cannot be read, is
   * damaged or of a kind not supported, ERR_INPUT for what is no path.
   */
  static async load(folder: string): Promise<Tokenizer | null>;
  /** @internal `rows`: the ids that the model has, whether or not config.json says it. */
  static async load(folder: string, rows: number): Promise<Tokenizer | null>;
  static async load(folder: string, rows?: number): Promise<Tokenizer | null> {
    checkPath('folder', folder);
    const found = await findCodec(folder, rows);
    return found && new Tokenizer(found.codec, modelVocabSize(found.declarations));
  }

  /**
   * A hash of the table of ids and pieces, the same for the same table whatever file it was read
   * from. Models whose fingerprints differ cannot draft for one another.
   */
  get fingerprint(): string {
    this.#fingerprint ??= fingerprintOf(this.#codec.pieces);
    return this.#fingerprint;
  }

  /**
   * The ids of a text, with the end token appended as T5's tokenizers do; '' gives the end token
   * alone.
   *
   * The text of an added or special token inside the input (`</s>`, `<extra_id_0>`) becomes that
   * token, as in the reference implementation: span filling needs it. Callers that pass on text they
   * do not trust and want no sentinel in it should take it out first. Lone surrogates, which no
   * vocabulary has, count as U+FFFD.
   *
   * Throws ERR_INPUT if `text` is not a string.
   */
  encode(text: string): number[] {
    if (typeof text !== 'string') {
      throw new SpeccascadeError(
        'ERR_INPUT',
        `text to encode is of type ${typeof text}, not a string`,
      );
    }
    return this.#codec.encode(text.replace(/\p{Surrogate}/gu, '\uFFFD'));
  }

  /**
   * The text of a sequence of ids; none gives ''. Ids of the checkpoint's padded vocabulary that
   * stand for no piece give nothing: a model can emit them, and they mean no text.
   * Throws ERR_INPUT, naming it, for an id outside the model's vocabulary.
   */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const stream = this.stream(options);
    return stream.push(ids) + stream.end();
  }

  /** A decoder for ids that arrive bit by bit. */
  stream(options: DecodeOptions = {}): TokenStream {
    return new TokenStream(this.#codec, this.#rows, options);
  }
}

function fingerprintOf(pieces: readonly string[]): string {
  const entries: string[] = [];
  // forEach skips holes; the length keeps any piece from running into the next id.
  pieces.forEach((piece, id) => entries.push(`${id}:${piece.length}:${piece}`));
  return createHash('sha256').update(entries.join('\n')).digest('hex');
}
