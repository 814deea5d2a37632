/** From a method's line, read, to the options of its sessions. */
import type { Drafter } from '../drafters.ts';
import type { MethodSession } from '../evaluate/method.ts';
import type { T5Model } from '../model.ts';
import type { CascadeOptions } from '../session/cascade-options.ts';
import { drafterOf, ruleOf } from './method-options.ts';
import { UsageError } from './options.ts';
import { realNumber, type SpecValues } from './spec-options.ts';

/** What specs leave unsaid, and where models come from. */
export interface MethodModels {
  target: T5Model;
  /** The drafter of specs that name none; undefined: they have to. */
  defaultDraft: string | undefined;
  load: (source: string) => Promise<T5Model>;
}

/** Throws UsageError, and SpeccascadeError where the library refuses a combination. */
export async function specSession(
  values: SpecValues,
  models: MethodModels,
): Promise<MethodSession> {
  const draft = await draftOf(values, models);
  const session = { target: models.target, draft, verifier: values.verifier as 'auto' };
  const cascade = cascadeOf(values);
  switch (values.strategy) {
    case 'token-cascade':
      return { ...session, strategy: values.strategy, rule: ruleOf(values), cascade };
    case 'sequence-cascade':
      return { ...session, strategy: values.strategy, cascade };
    default:
      if (Object.keys(cascade).length > 0) {
        throw new UsageError(`${Object.keys(cascade)[0]} is of the cascades: name a strategy`);
      }
      return { ...session, rule: ruleOf(values) };
  }
}

function cascadeOf(values: SpecValues): CascadeOptions {
  const { score, threshold, quantile, 'max-run': maxRun } = values;
  return {
    ...(score === undefined ? {} : { score: score as NonNullable<CascadeOptions['score']> }),
    ...(threshold === undefined ? {} : { threshold: realNumber(threshold) }),
    ...(quantile === undefined ? {} : { quantile }),
    ...(maxRun === undefined ? {} : { maxRun }),
  };
}

async function draftOf(values: SpecValues, models: MethodModels): Promise<Drafter> {
  const draft = await shapeOf(values, models);
  const { adaptive: max, confidence } = values;
  if (max === undefined) return draft;
  const { adaptive } = await import('../drafters.ts');
  if (draft.drafter === 'chain' || draft.drafter === 'maxGram' || draft.drafter === 'csDraft') {
    return adaptive(draft, { max, confidence });
  }
  throw new UsageError(`adaptive=${max}: expected a chain, Max-Gram or cascade drafting`);
}

async function shapeOf(values: SpecValues, models: MethodModels): Promise<Drafter> {
  const { csDraft, dynamicTree, maxGram } = await import('../drafters.ts');
  const { 'max-gram': copies, lengths, nodes, depth } = values;
  if (copies !== undefined) return maxGram({ length: copies });
  const [first, ...more] = await drafters(values, models);
  if (lengths !== undefined) {
    const matrix = lengths.split('/').map((row) => row.split(',').map(Number));
    // One stage more than models: Max-Gram, the last.
    const withCopies = matrix.length > 1 + more.length;
    const { lenience } = values;
    const options = {
      lengths: matrix,
      lenience,
      ...(withCopies ? {} : { maxGram: false as const }),
    };
    return csDraft([first, ...more], options);
  }
  if (more.length > 0) throw new UsageError('several drafters need lengths=MATRIX');
  if (nodes === undefined) return drafterOf(first, values);
  return dynamicTree(first, { nodes, ...(depth === undefined ? {} : { depth }) });
}

async function drafters(
  values: SpecValues,
  models: MethodModels,
): Promise<[T5Model, ...T5Model[]]> {
  const named = values.draft ?? models.defaultDraft;
  if (named === undefined) throw new UsageError('expected draft=MODEL, or --draft');
  const [first, ...rest] = named.split(',');
  const loaded: [T5Model, ...T5Model[]] = [await models.load(first!)];
  for (const source of rest) loaded.push(await models.load(source));
  return loaded;
}
