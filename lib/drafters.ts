/**
 * Drafters: who proposes tokens, and in which shape. Typed descriptions, checked; nothing runs here.
 * A step drafts at most 255 tokens in all: with the last token 256 candidate positions.
 */
import {
  checkBigrams,
  checkLengths,
  checkWidths,
  maxDrafters,
  maxNodes,
} from './drafters/checks.ts';
import { T5Model } from './model.ts';
import type { WithDefaults } from './types.ts';
import {
  checkBoolean,
  checkInteger,
  checkNumber,
  checkObject,
  checkOptions,
  inputError,
} from './validate.ts';

/** A small model that drafts `length` tokens in a row. */
export interface ChainDrafter {
  readonly drafter: 'chain';
  readonly model: T5Model;
  /** Tokens of a draft, 1 to 255. */
  readonly length: number;
}

/** A small model, or Max-Gram, that drafts a tree of candidates. */
export interface TreeDrafter {
  readonly drafter: 'tree';
  readonly source: T5Model | MaxGram;
  /** Children per node, level by level; at most 255 nodes in all. */
  readonly widths: readonly number[];
  /** Whether siblings are drawn with replacement. */
  readonly replacement: boolean;
}

/** A small model that drafts the most probable paths of its tree. */
export interface DynamicTreeDrafter {
  readonly drafter: 'dynamicTree';
  readonly model: T5Model;
  /** Candidates of a step, 1 to 255. */
  readonly nodes: number;
  /** Most levels, 1 to `nodes`. */
  readonly depth: number;
}

/** Copies of what followed the longest repeated suffix of the output. */
export interface MaxGram {
  readonly drafter: 'maxGram';
  /** Most tokens proposed at once, 1 to 255. */
  readonly length: number;
  /** The successor of each token, -1 for none; null: no table. */
  readonly bigrams: Int32Array | null;
}

/** Models that review each other's drafts. */
export interface CsDraftDrafter {
  readonly drafter: 'csDraft';
  /** The largest first. */
  readonly models: readonly T5Model[];
  /** Upper triangular, one row and column per drafter, Max-Gram last; see csDraft(). */
  readonly lengths: readonly (readonly number[])[];
  /** Below the models; null: nothing is. */
  readonly maxGram: MaxGram | null;
  /** Of reviews below the target, at least 1: how much more than the exact test accepts. */
  readonly lenience: number;
}

/** A drafter whose length is chosen step by step. */
export interface AdaptiveDrafter {
  readonly drafter: 'adaptive';
  readonly source: ChainDrafter | MaxGram | CsDraftDrafter;
  /** Most tokens of a draft, 1 to 255. */
  readonly max: number;
  /**
   * Drafting stops before a position where the drafter's largest probability is below this, 0
   * (never) to 1.
   */
  readonly confidence: number;
}

/** As the constructors make them. */
export type Drafter =
  ChainDrafter | TreeDrafter | DynamicTreeDrafter | MaxGram | CsDraftDrafter | AdaptiveDrafter;

/** As maxGram() makes it, or without what has a default. */
export type MaxGramInput = WithDefaults<MaxGram, 'length' | 'bigrams'>;

type CsDraftInput = WithDefaults<Omit<CsDraftDrafter, 'maxGram'>, 'lenience'> & {
  /** Left out: one of length 255; null or false: none. */
  readonly maxGram?: MaxGramInput | MaxGramOptions | false | null | undefined;
};

/** As callers may write them: what has a default may be left out. */
export type DrafterInput =
  | ChainDrafter
  | (WithDefaults<Omit<TreeDrafter, 'source'>, 'replacement'> & {
      readonly source: T5Model | MaxGramInput;
    })
  | WithDefaults<DynamicTreeDrafter, 'depth'>
  | MaxGramInput
  | CsDraftInput
  | (WithDefaults<Omit<AdaptiveDrafter, 'source'>, 'max' | 'confidence'> & {
      readonly source: ChainDrafter | MaxGramInput | CsDraftInput;
    });

const maxGramKeys = ['length', 'bigrams'];

export interface MaxGramOptions {
  /** Most tokens proposed at once, 1 to 255; default 10, in csDraft() 255: its stages bound it. */
  length?: number | undefined;
  /**
   * The most frequent successor of each token, -1 for none: as many entries as the vocabulary. What
   * follows where nothing is repeated. `speccascade bigrams` makes one from text.
   */
  bigrams?: Int32Array | undefined;
}

/**
 * A chain of `length` (gamma) tokens a step, 1 to 255, drawn one after the other from `model` with
 * the request's own temperature and filters. The draft ends early at an end token, and before the
 * last token that `maxNewTokens` leaves. Errors: ERR_INPUT.
 */
export function chain(model: T5Model, options: { length: number }): ChainDrafter {
  checkModel('chain', model);
  checkOptions('chain options', options, ['length']);
  return { drafter: 'chain', model, length: checkInteger('length', options.length, 1, maxNodes) };
}

/**
 * A tree of candidates (Yang et al. 2024, multi-candidate speculative decoding): `widths[d]`
 * children below each node of level d, at most 255 nodes in all, verified in one pass of the
 * target. Siblings are drawn from the drafter's row without replacement, or with it; at temperature
 * 0 they are its most probable tokens. From Max-Gram they are what followed different occurrences,
 * taken without chance. [1, 1, 1] is a chain. Decreasing widths serve best at the same number of
 * nodes. Errors: ERR_INPUT.
 */
export function tree(
  source: T5Model | MaxGram,
  options: { widths: readonly number[]; replacement?: boolean | undefined },
): TreeDrafter {
  const copies = isMaxGram(source);
  if (!copies) checkModel('tree', source, 'a T5Model or maxGram()');
  checkOptions('tree options', options, ['widths', 'replacement']);
  const replacement = checkBoolean('replacement', options.replacement ?? false);
  if (copies && replacement) {
    throw inputError('replacement', 'false with Max-Gram, which draws nothing', replacement);
  }
  return { drafter: 'tree', source, widths: checkWidths(options.widths), replacement };
}

/**
 * A budget of `nodes` candidates, 1 to 255, spent on the most probable paths of the drafter's tree
 * (as EAGLE-2, Li et al. 2024), at most `depth` levels deep: default 6, or `nodes` if that is less.
 * The tree follows from the drafter's rows alone, so siblings are fixed, not drawn.
 * Errors: ERR_INPUT.
 */
export function dynamicTree(
  model: T5Model,
  options: { nodes: number; depth?: number | undefined },
): DynamicTreeDrafter {
  checkModel('dynamicTree', model);
  checkOptions('dynamicTree options', options, ['nodes', 'depth']);
  const nodes = checkInteger('nodes', options.nodes, 1, maxNodes);
  const depth = checkInteger('depth', options.depth ?? Math.min(nodes, 6), 1, nodes);
  return { drafter: 'dynamicTree', model, nodes, depth };
}

/**
 * Max-Gram (Chen et al. 2024, cascade speculative drafting): proposes what followed the longest
 * suffix of the output where it stood before, in the input or earlier in the output, then bigram
 * successors. No model, next to no time: for outputs that repeat their input. With rules other than
 * lossless() it needs a model to be compared with, as in csDraft(). Errors: ERR_INPUT.
 */
export function maxGram(options: MaxGramOptions = {}): MaxGram {
  const { length = 10, bigrams } = checkOptions('maxGram options', options, maxGramKeys);
  return {
    drafter: 'maxGram',
    length: checkInteger('length', length, 1, maxNodes),
    bigrams: bigrams === undefined ? null : checkBigrams(bigrams),
  };
}

/**
 * Cascade Speculative Drafting (Chen et al. 2024) with `models` from the largest drafter to the
 * smallest, and Max-Gram below them unless `maxGram` is false; at most 8 drafters in all. Vertical
 * cascade: a model reviews what those below it draft instead of generating; horizontal: later
 * tokens come from smaller ones.
 *
 * `lengths`: upper triangular, one row and column per drafter, Max-Gram last. Row 0 holds the
 * target's stages, row i those of models[i - 1]: a draft is extended by drafter j until it has
 * lengths[row][0] + ... + lengths[row][j] tokens. [[5, 14, 10], [0, 1, 10], [0, 0, 10]]: the
 * first model until 5 tokens, the second until 19, Max-Gram until 29. What a model gives beyond its
 * stage counts for the next.
 *
 * `lenience` >= 1 (default 1): reviews below the target accept with probability
 * min(1, lenience p / q) (at temperature 0 a mismatch with p > q / lenience); the target's review is
 * the session's rule, so the output's distribution is the same. Errors: ERR_INPUT.
 */
export function csDraft(
  models: readonly T5Model[],
  options: {
    lengths: readonly (readonly number[])[];
    maxGram?: MaxGramOptions | false | undefined;
    lenience?: number | undefined;
  },
): CsDraftDrafter {
  const given: unknown = models;
  if (!Array.isArray(given) || given.length === 0) {
    throw inputError('csDraft', 'a list of at least one T5Model', models);
  }
  for (const [i, model] of models.entries()) checkModel(`csDraft models[${i}]`, model);
  checkOptions('csDraft options', options, ['lengths', 'maxGram', 'lenience']);
  const own =
    options.maxGram === false
      ? null
      : checkOptions('maxGram options', options.maxGram ?? {}, maxGramKeys);
  const copies = own && maxGram({ ...own, length: own.length ?? maxNodes });
  const drafters = models.length + (copies === null ? 0 : 1);
  if (drafters > maxDrafters) {
    throw inputError('csDraft', `at most ${maxDrafters} drafters, Max-Gram included`, drafters);
  }
  return {
    drafter: 'csDraft',
    models: [...models],
    lengths: checkLengths(options.lengths, drafters),
    maxGram: copies,
    lenience: checkNumber('lenience', options.lenience ?? 1, 1, Infinity),
  };
}

/**
 * A drafter whose length is chosen step by step: drafting goes on while the next token is expected
 * to be worth its time, by the request's own acceptance so far at the drafter's confidence, and the
 * models' sizes (docs/methods.md). `max`: most tokens a step drafts, default the drafter's own
 * length. `confidence` of chains, 0 (default) to 1: drafting stops before a position where the
 * drafter's largest probability is below this. Exact and reproducible like a fixed length.
 * Errors: ERR_INPUT.
 */
export function adaptive(
  source: ChainDrafter | MaxGram | CsDraftDrafter,
  options: { max?: number | undefined; confidence?: number | undefined } = {},
): AdaptiveDrafter {
  checkAdaptive(source);
  checkOptions('adaptive options', options, ['max', 'confidence']);
  const own = source.drafter === 'csDraft' ? maxNodes : source.length;
  const confidence = checkNumber('confidence', options.confidence ?? 0, 0, 1);
  if (confidence > 0 && source.drafter !== 'chain') {
    throw inputError('confidence', `0 with ${source.drafter}(), of chains alone`, confidence);
  }
  return {
    drafter: 'adaptive',
    source,
    max: checkInteger('max', options.max ?? own, 1, maxNodes),
    confidence,
  };
}

/** @internal Throws ERR_INPUT for what is no drafter of adaptive(). */
export function checkAdaptive(source: unknown): void {
  const { drafter: kind = source } = checkObject('adaptive', source) as { drafter?: unknown };
  if (kind === 'chain' || kind === 'maxGram' || kind === 'csDraft') return;
  throw inputError('adaptive', 'chain(), maxGram() or csDraft()', kind);
}

/** @internal */
export function isMaxGram<M extends MaxGramInput>(source: T5Model | M): source is M {
  return (source as Partial<M> | null)?.drafter === 'maxGram';
}

function checkModel(name: string, model: unknown, expected = 'a T5Model'): void {
  if (!(model instanceof T5Model)) throw inputError(name, expected, model);
}
