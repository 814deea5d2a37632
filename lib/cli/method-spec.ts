/**
 * Methods in a line of text, for commands that run several: the options of `generate`, without their
 * dashes, such as 'tree=4,2,2 rule=opt alpha=0,0.1,0.3'. A list of alphas is a curve of methods.
 */
import type { Method, MethodSession } from '../evaluate/method.ts';
import type { T5Model } from '../model.ts';
import { draftSession, wantedModels, type DraftSession } from './draft-options.ts';
import { checkMethodOptions } from './method-checks.ts';
import { methodOptions, numberOf, ruleOf } from './method-options.ts';
import { readOptions, text, UsageError, type OptionTable, type Values } from './options.ts';

const modelOption = (help: string) => text({ value: 'MODEL', help });

/** What a spec may say besides the options of one session. */
const specOptions = {
  ...methodOptions,
  draft: modelOption('the drafters, with + between; large, base and small are the bundled models'),
  alone: modelOption('decode with this model alone'),
};

export type SpecValues = Values<typeof specOptions>;

/** Those of which a list may be given, the parameter of a curve. */
const parameters = ['alpha', 'rollback', 'threshold'] as const;

export interface MethodSpec {
  id: string;
  curve: string;
  parameter: number | null;
  values: SpecValues;
}

/** The target alone: what every sweep has, to compare with. */
export const targetSpec = 'target';

/** What specs leave unsaid, and where models come from. */
export interface MethodModels {
  target: T5Model;
  /** The drafter of specs that name none; undefined: they have to. */
  defaultDraft: string | undefined;
  /** The table of specs with Max-Gram that name none; null: no table. */
  defaultBigrams: string | null;
  load: (source: string) => Promise<T5Model>;
}

/** One method, or as many as its list of parameters has values. Throws UsageError. */
export function parseMethod(spec: string): MethodSpec[] {
  const words = spec.trim().split(/\s+/);
  if (words[0] === '') throw new UsageError('--method: expected a method, received none');
  const varied = words.findIndex((word) => parameters.some((name) => word.startsWith(`${name}=`)));
  if (varied < 0) return [specOf(words, words.join(' '), null)];
  const [name, list] = splitAtEquals(words[varied]!);
  const curve = words.filter((_, i) => i !== varied).join(' ');
  return list.split(',').map((value) => {
    const one = words.with(varied, `${name}=${value}`);
    return specOf(one, curve, numberOf(value));
  });
}

function specOf(words: string[], curve: string, parameter: number | null): MethodSpec {
  const id = words.join(' ');
  const argv = words[0] === targetSpec ? words.slice(1) : words;
  try {
    const { values, positionals } = readOptions(specOptions as OptionTable, argv.map(asOption));
    if (positionals.length > 0) throw new UsageError(`unknown word ${positionals[0]}`);
    const known = values as SpecValues;
    // A rule without its alpha should not wait for the models to be loaded.
    checkMethodOptions(known, id !== targetSpec && known.alone === undefined);
    return { id, curve, parameter, values: known };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`--method ${JSON.stringify(id)}: ${error.message}`);
  }
}

/** Loads the models that it names. Throws SpeccascadeError, UsageError. */
export async function methodOf(spec: MethodSpec, models: MethodModels): Promise<Method> {
  const { id, curve, parameter, values } = spec;
  const common = { id, curve, parameter };
  if (id === targetSpec) return { ...common, kind: 'target', session: { target: models.target } };
  if (values.alone !== undefined) {
    const model = await models.load(values.alone);
    return { ...common, kind: 'alone', session: { target: model } };
  }
  const rule = ruleOf(values);
  const session: MethodSession = {
    target: models.target,
    ...(await draftOf(id, values, models)),
    rule,
  };
  const speculates = values.strategy === 'speculative';
  const drafts = rule.rule === 'lossless' ? 'draft' : 'rule';
  return { ...common, kind: speculates ? drafts : 'cascade', session };
}

async function draftOf(
  id: string,
  values: SpecValues,
  models: MethodModels,
): Promise<DraftSession> {
  const { min, max } = wantedModels(values);
  const sources = (max === 0 ? '' : (values.draft ?? models.defaultDraft ?? ''))
    .split('+')
    .filter((source) => source !== '');
  if (sources.length < min || sources.length > max) {
    const wanted = min === max ? `${min}` : `${min} or ${max}`;
    const named = sources.length === 0 ? 'none' : sources.join('+');
    throw new UsageError(
      `--method ${JSON.stringify(id)}: expected draft=MODEL with ${wanted} models, received ${named}`,
    );
  }
  const drafters: T5Model[] = [];
  for (const source of sources) drafters.push(await models.load(source));
  return draftSession(drafters, values, models.defaultBigrams);
}

function asOption(word: string): string {
  return `--${word}`;
}

function splitAtEquals(word: string): [string, string] {
  const place = word.indexOf('=');
  return [word.slice(0, place), word.slice(place + 1)];
}
