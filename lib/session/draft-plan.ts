/** Drafters as the engine takes them, and whether they fit a target. */
import {
  adaptive,
  chain,
  checkAdaptive,
  csDraft,
  dynamicTree,
  isMaxGram,
  maxGram,
  tree,
  type AdaptiveDrafter,
  type Drafter,
  type DrafterInput,
  type MaxGram,
  type MaxGramInput,
  type MaxGramOptions,
} from '../drafters.ts';
import { SpeccascadeError } from '../errors.ts';
import type { T5Model } from '../model.ts';
import type { NativeDraftPlan } from '../native.ts';
import { checkObject, checkOneOf, inputError } from '../validate.ts';

export interface DraftPlan {
  models: readonly T5Model[];
  native: NativeDraftPlan;
  /** Entries of `draftCalls`: models, and Max-Gram last. */
  drafters: number;
  /** One candidate per node. */
  chain: boolean;
  /** Siblings drawn independently of each other. */
  replacement: boolean;
}

const kinds = ['chain', 'tree', 'dynamicTree', 'maxGram', 'csDraft', 'adaptive'] as const;

const empty: NativeDraftPlan = {
  kind: 'none',
  widths: new Int32Array(0),
  replacement: false,
  nodes: 0,
  depth: 0,
  lengths: new Int32Array(0),
  copies: false,
  copyLength: 255,
  lenience: 1,
  bigrams: new Int32Array(0),
  adaptive: null,
};

export const noDraft: DraftPlan = {
  models: [],
  native: empty,
  drafters: 0,
  chain: true,
  replacement: false,
};

/** A drafter as the constructors make it. Throws ERR_INPUT. */
export function checkDraft(draft: DrafterInput): Drafter {
  const { drafter } = checkObject('draft', draft) as Partial<Drafter>;
  if (drafter === undefined) throw inputError('draft', 'a drafter such as chain()', draft);
  checkOneOf('draft', drafter, kinds);
  return rebuilt(draft);
}

/** The plan of a drafter, checked against the target. Throws ERR_INPUT, ERR_DEVICE, ERR_VOCAB_MISMATCH. */
export function draftPlan(target: T5Model, draft: Drafter): DraftPlan {
  const plan = planOf(draft);
  for (const model of plan.models) checkModel(target, model);
  const { bigrams } = plan.native;
  const { vocabSize } = target.config;
  if (bigrams.length > 0 && bigrams.length !== vocabSize) {
    throw inputError('bigrams', `${vocabSize} successors, one per token`, bigrams.length);
  }
  return plan;
}

/**
 * A description may have been written by hand: the constructors check it, also that it says nothing
 * that they do not know.
 */
function rebuilt(draft: DrafterInput): Drafter {
  switch (draft.drafter) {
    case 'chain':
      return chain(draft.model, besides(draft, 'drafter', 'model'));
    case 'tree': {
      const { source } = draft;
      const from = isMaxGram(source) ? (rebuilt(source) as MaxGram) : source;
      return tree(from, besides(draft, 'drafter', 'source'));
    }
    case 'dynamicTree':
      return dynamicTree(draft.model, besides(draft, 'drafter', 'model'));
    case 'maxGram':
      return maxGram(copyOptions(draft));
    case 'csDraft': {
      const { models, maxGram: copies } = draft;
      return csDraft(models, {
        ...besides(draft, 'drafter', 'models', 'maxGram'),
        ...(copies !== undefined && { maxGram: belowModels(copies) }),
      });
    }
    case 'adaptive': {
      const { source } = draft;
      checkAdaptive(source);
      const checked = rebuilt(source) as AdaptiveDrafter['source'];
      return adaptive(checked, besides(draft, 'drafter', 'source'));
    }
  }
}

/** As csDraft() takes it; null is what it makes of false. */
function belowModels(copies: MaxGramInput | MaxGramOptions | false | null): MaxGramOptions | false {
  if (copies === null || copies === false) return false;
  checkObject('maxGram', copies);
  return copyOptions(copies);
}

/** As maxGram() takes them. */
function copyOptions(draft: MaxGramInput | MaxGramOptions): MaxGramOptions {
  const { bigrams } = draft;
  return { ...besides(draft, 'drafter', 'bigrams'), ...(bigrams !== null && { bigrams }) };
}

/** What a description says, without these. */
function besides<T extends object, K extends PropertyKey>(draft: T, ...keys: K[]): Omit<T, K> {
  const said = Object.entries(draft).filter(([key]) => !keys.includes(key as K));
  return Object.fromEntries(said) as Omit<T, K>;
}

function planOf(draft: Drafter): DraftPlan {
  const one = { ...noDraft, drafters: 1 };
  switch (draft.drafter) {
    case 'chain': {
      const widths = new Int32Array(draft.length).fill(1);
      return { ...one, models: [draft.model], native: { ...empty, kind: 'levels', widths } };
    }
    case 'tree': {
      const widths = Int32Array.from(draft.widths);
      const shape = { chain: draft.widths.every((width) => width === 1) };
      const { source, replacement } = draft;
      if ('drafter' in source) {
        const bigrams = source.bigrams ?? empty.bigrams;
        return { ...one, ...shape, native: { ...empty, kind: 'copy', widths, bigrams } };
      }
      const native: NativeDraftPlan = { ...empty, kind: 'levels', widths, replacement };
      return { ...one, ...shape, replacement, models: [source], native };
    }
    case 'dynamicTree': {
      const { model, nodes, depth } = draft;
      const native: NativeDraftPlan = { ...empty, kind: 'dynamicTree', nodes, depth };
      return { ...one, chain: false, models: [model], native };
    }
    case 'maxGram': {
      const widths = new Int32Array(draft.length).fill(1);
      const bigrams = draft.bigrams ?? empty.bigrams;
      return { ...one, native: { ...empty, kind: 'copy', widths, bigrams } };
    }
    case 'csDraft': {
      const { models, lengths, maxGram: copies, lenience } = draft;
      const native: NativeDraftPlan = {
        ...empty,
        kind: 'cascade',
        lengths: Int32Array.from(lengths.flat()),
        copies: copies !== null,
        copyLength: copies?.length ?? empty.copyLength,
        bigrams: copies?.bigrams ?? empty.bigrams,
        lenience,
      };
      return { ...noDraft, drafters: lengths.length, models, native };
    }
    case 'adaptive': {
      const { max, confidence, source } = draft;
      // A chain is planned for its longest draft.
      const longest = source.drafter === 'csDraft' ? source : { ...source, length: max };
      const plan = planOf(longest);
      return { ...plan, native: { ...plan.native, adaptive: { max, confidence } } };
    }
  }
}

function checkModel(target: T5Model, model: T5Model): void {
  if (model.device !== target.device) {
    throw new SpeccascadeError(
      'ERR_DEVICE',
      `the drafter is on ${model.device}, the target on ${target.device}: expected one device`,
    );
  }
  if (model.config.vocabSize !== target.config.vocabSize) {
    throw new SpeccascadeError(
      'ERR_VOCAB_MISMATCH',
      `the drafter has a vocabulary of ${model.config.vocabSize} tokens, the target one of ` +
        `${target.config.vocabSize}`,
    );
  }
  const tables = [model.tokenizer?.fingerprint, target.tokenizer?.fingerprint];
  if (tables[0] !== undefined && tables[1] !== undefined && tables[0] !== tables[1]) {
    throw new SpeccascadeError(
      'ERR_VOCAB_MISMATCH',
      `the token tables of drafter and target differ (sha256 ${tables[0].slice(0, 12)} and ` +
        `${tables[1].slice(0, 12)})`,
    );
  }
}
