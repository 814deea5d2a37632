/** Drafters: who proposes tokens, and in which shape. Typed descriptions, nothing runs here. */
import { T5Model } from './model.ts';
import { checkInteger, checkKeys, checkObject, inputError } from './validate.ts';

/** A small model that drafts `length` tokens in a row. */
export interface ChainDrafter {
  readonly drafter: 'chain';
  readonly model: T5Model;
  readonly length: number;
}

export type Drafter = ChainDrafter;

/** Longest chain: with the last token, at most 256 candidate positions a step. */
const maxChain = 255;

/**
 * A chain of `length` (gamma) tokens a step, 1 to 255, drawn one after the other from `model` with
 * the request's own temperature and filters. The draft ends early at an end token, and before the
 * last token that `maxNewTokens` leaves. Errors: ERR_INPUT.
 */
export function chain(model: T5Model, options: { length: number }): ChainDrafter {
  if (!(model instanceof T5Model)) throw inputError('chain', 'a T5Model', model);
  checkKeys('chain options', checkObject('chain options', options), ['length']);
  return { drafter: 'chain', model, length: checkInteger('length', options.length, 1, maxChain) };
}
