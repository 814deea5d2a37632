/**
 * Drafters: who proposes tokens, and in which shape. Typed descriptions, checked; nothing runs here.
 */
import { T5Model } from './model.ts';
import { checkBoolean, checkInteger, checkKeys, checkObject, inputError } from './validate.ts';

/** A small model that drafts `length` tokens in a row. */
export interface ChainDrafter {
  readonly drafter: 'chain';
  readonly model: T5Model;
  readonly length: number;
}

/** A small model that drafts a tree of candidates. */
export interface TreeDrafter {
  readonly drafter: 'tree';
  readonly model: T5Model;
  readonly widths: readonly number[];
  readonly replacement: boolean;
}

export type Drafter = ChainDrafter | TreeDrafter;

/** With the last token, at most 256 candidate positions a sequence and step. */
const maxNodes = 255;

/**
 * A chain of `length` (gamma) tokens a step, 1 to 255, drawn one after the other from `model` with
 * the request's own temperature and filters. The draft ends early at an end token, and before the
 * last token that `maxNewTokens` leaves. Errors: ERR_INPUT.
 */
export function chain(model: T5Model, options: { length: number }): ChainDrafter {
  checkModel('chain', model);
  checkKeys('chain options', checkObject('chain options', options), ['length']);
  return { drafter: 'chain', model, length: checkInteger('length', options.length, 1, maxNodes) };
}

/**
 * A tree of candidates (Yang et al. 2024, multi-candidate speculative decoding): `widths[d]`
 * children below each node of level d, at most 255 nodes in all, verified in one pass of the
 * target. Siblings are drawn from the drafter's row without replacement, or with it; at temperature
 * 0 they are its most probable tokens. [1, 1, 1] is a chain. Decreasing widths serve best at the
 * same number of nodes. Errors: ERR_INPUT.
 */
export function tree(
  model: T5Model,
  options: { widths: number[]; replacement?: boolean },
): TreeDrafter {
  checkModel('tree', model);
  checkKeys('tree options', checkObject('tree options', options), ['widths', 'replacement']);
  const replacement = checkBoolean('replacement', options.replacement ?? false);
  return { drafter: 'tree', model, widths: checkWidths(options.widths), replacement };
}

function checkModel(name: string, model: unknown): void {
  if (!(model instanceof T5Model)) throw inputError(name, 'a T5Model', model);
}

function checkWidths(widths: unknown): number[] {
  if (!Array.isArray(widths) || widths.length === 0) {
    throw inputError('widths', 'a list of at least one width', widths);
  }
  const checked = widths.map((width, i) => checkInteger(`widths[${i}]`, width, 1, maxNodes));
  let level = 1;
  let nodes = 0;
  for (const width of checked) nodes += level *= width;
  if (nodes > maxNodes) throw inputError('widths', `at most ${maxNodes} nodes in all`, nodes);
  return checked;
}

/** Candidates per node and level, in the native form; empty without a drafter. */
export function draftWidths(draft: Drafter | null): Int32Array {
  if (draft === null) return new Int32Array(0);
  if (draft.drafter === 'chain') return new Int32Array(draft.length).fill(1);
  return Int32Array.from(draft.widths);
}
