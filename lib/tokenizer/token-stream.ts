import { SpeccascadeError } from '../errors.ts';
import { checkBoolean, checkOptions, inputError, show } from '../validate.ts';
import type { Codec } from './codec.ts';
import type { Stage } from './stages.ts';

/** How ids are turned into text. */
export interface DecodeOptions {
  /** Leave out special tokens: padding, end, unknown, sentinels. Default true. */
  skipSpecialTokens?: boolean | undefined;
}

/**
 * Turns ids into text as they arrive. What `push` and `end` return, joined, is exactly what
 * `decode` gives for all the ids; no call returns part of a character.
 */
export class TokenStream {
  readonly #codec: Codec;
  readonly #rows: number;
  readonly #skipSpecial: boolean;
  readonly #stage: Stage;
  #ended = false;

  /** @internal Made by `Tokenizer.stream()`. `rows`: ids from there on are refused. */
  constructor(codec: Codec, rows: number, options: DecodeOptions) {
    this.#codec = codec;
    this.#rows = rows;
    checkOptions('decode options', options, ['skipSpecialTokens']);
    this.#skipSpecial = checkBoolean('skipSpecialTokens', options.skipSpecialTokens ?? true);
    this.#stage = codec.decoder();
  }

  /**
   * Takes the next ids and returns the text they complete; '' while a character is under way.
   * Throws ERR_INPUT for an id the model does not have, in which case none of the ids counts, and
   * ERR_CLOSED after `end`.
   */
  push(ids: Iterable<number>): string {
    if (this.#ended)
      throw new SpeccascadeError('ERR_CLOSED', 'push() after end() of a token stream');
    const all = listOf(ids);
    for (const [index, id] of all.entries()) this.#check(id, index);
    let text = '';
    for (const id of all) {
      const piece = this.#codec.pieces[id];
      if (piece === undefined) continue;
      if (this.#skipSpecial && this.#codec.specialIds.has(id)) continue;
      text += this.#stage.push(piece);
    }
    return text;
  }

  /** Returns what was held back (a character that was never completed). Idempotent. */
  end(): string {
    if (this.#ended) return '';
    this.#ended = true;
    return this.#stage.end();
  }

  #check(id: unknown, index: number): void {
    if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < this.#rows) return;
    const range = `0 to ${this.#rows - 1}`;
    throw new SpeccascadeError(
      'ERR_INPUT',
      `token id ${show(id)} at position ${index} is not one of ${range}`,
    );
  }
}

function listOf(ids: Iterable<number>): readonly number[] {
  if (Array.isArray(ids)) return ids as number[];
  const iterable = typeof ids === 'object' && ids !== null && Symbol.iterator in ids;
  if (iterable) return Array.from(ids);
  throw inputError('ids', 'an iterable of token ids', ids);
}
