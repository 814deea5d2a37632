/**
 * Methods in a line of text, for commands that run several: the options of `generate`, without their
 * dashes, such as 'tree=4,2,2 rule=opt alpha=0,0.1,0.3'. A list of alphas is a curve of methods. A
 * backslash makes the next character a part of its word, such as a space or + in a path.
 */
import type { Method, MethodSession } from '../evaluate/method.ts';
import type { T5Model } from '../model.ts';
import { checkBigrams, checkBigramsRead, draftSession, wantedModels } from './draft-options.ts';
import { checkMethodOptions } from './method-checks.ts';
import { methodOptions, ruleOf } from './method-options.ts';
import { readOptions, text, UsageError, type OptionTable, type Values } from './options.ts';
import { numberOf } from './real-number.ts';

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

export function wordsOf(spec: string): string[] {
  return spec.match(/(?:\\.|\S)+/gs) ?? [];
}

/** The word that names drafters, whatever is in their names. */
export function draftWord(...sources: readonly string[]): string {
  return `draft=${sources.map((source) => source.replace(/[\s+\\]/g, '\\$&')).join('+')}`;
}

/** The drafters that the value of such a word names. */
export function sourcesOf(draft: string): string[] {
  return (draft.match(/(?:\\.|[^+])+/gs) ?? []).map(plain);
}

function plain(word: string): string {
  return word.replace(/\\(.)/gs, '$1');
}

/** One method, or as many as its list of parameters has values. Throws UsageError. */
export function parseMethod(spec: string): MethodSpec[] {
  const words = wordsOf(spec);
  if (words.length === 0) throw new UsageError('--method: expected a method, received none');
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
  const argv = id === targetSpec ? [] : words.map(asOption);
  return named(id, () => {
    checkAlone(words);
    const { values, positionals } = readOptions(specOptions as OptionTable, argv);
    if (positionals.length > 0) throw new UsageError(`unknown word ${positionals[0]}`);
    const known = values as SpecValues;
    // A rule without its alpha should not wait for the models to be loaded.
    checkMethodOptions(known, id !== targetSpec && known.alone === undefined);
    return { id, curve, parameter, values: known };
  });
}

/** With the method's name in what a UsageError says. */
function named<T>(id: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`--method ${JSON.stringify(id)}: ${error.message}`);
  }
}

/** A model that decodes without others has no options. */
function checkAlone(words: readonly string[]): void {
  const alone = words.find((word) => word === targetSpec || word.startsWith('alone='));
  const other = words.find((word) => word !== alone);
  if (alone === undefined || other === undefined) return;
  throw new UsageError(`${alone} stands by itself, received ${other}`);
}

/** What can be said of methods before any model is loaded. Throws UsageError, ERR_IO, ERR_INPUT. */
export async function checkMethods(
  specs: readonly MethodSpec[],
  defaultDraft: string | undefined,
): Promise<void> {
  for (const spec of specs) {
    const models = draftersOf(spec, defaultDraft).length;
    named(spec.id, () => checkBigramsRead(spec.values, models));
    await checkBigrams(spec.values);
  }
}

/** Whether Max-Gram drafts, alone or below others. */
export function copies({ lengths, 'max-gram': alone }: SpecValues, models: number): boolean {
  return alone || (lengths?.split('/').length ?? 0) > models;
}

/** The tables that Max-Gram reads in these methods. */
export function bigramFiles(
  specs: readonly MethodSpec[],
  { defaultDraft, defaultBigrams }: Pick<MethodModels, 'defaultDraft' | 'defaultBigrams'>,
): Set<string> {
  const files = specs
    .filter((spec) => copies(spec.values, draftersOf(spec, defaultDraft).length))
    .map(({ values }) => values.bigrams ?? defaultBigrams);
  return new Set(files.filter((file) => file !== null));
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
  const drafters: T5Model[] = [];
  for (const source of draftersOf(spec, models.defaultDraft)) {
    drafters.push(await models.load(source));
  }
  const session: MethodSession = {
    target: models.target,
    ...(await draftSession(drafters, values, models.defaultBigrams)),
    rule,
  };
  const speculates = values.strategy === 'speculative';
  const drafts = rule.rule === 'lossless' ? 'draft' : 'rule';
  return { ...common, kind: speculates ? drafts : 'cascade', session };
}

/** The models that draft, by name. Throws UsageError where they are not as many as needed. */
function draftersOf({ id, values }: MethodSpec, defaultDraft: string | undefined): string[] {
  if (id === targetSpec || values.alone !== undefined) return [];
  const { min, max } = wantedModels(values);
  const byDefault = max === 0 || defaultDraft === undefined ? [] : [defaultDraft];
  const sources = values.draft === undefined ? byDefault : sourcesOf(values.draft);
  if (sources.length >= min && sources.length <= max) return sources;
  const wanted = min === max ? `${min}` : `${min} or ${max}`;
  const named = sources.length === 0 ? 'none' : sources.join('+');
  throw new UsageError(
    `--method ${JSON.stringify(id)}: expected draft=MODEL with ${wanted} models, received ${named}`,
  );
}

/** Drafters keep their backslashes until they are told apart. */
function asOption(word: string): string {
  return `--${word.startsWith('draft=') ? word : plain(word)}`;
}

function splitAtEquals(word: string): [string, string] {
  const place = word.indexOf('=');
  return [word.slice(0, place), word.slice(place + 1)];
}
