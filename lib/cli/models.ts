/** The models that commands run on: the bundled ones unless others are named. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { SpeccascadeError } from '../errors.ts';
import type { Device, Dtype, LoadOptions, T5Model } from '../model.ts';
import type { Context } from './command.ts';
import { flag, integer, text, texts, UsageError, type Values } from './options.ts';
import { Progress, share } from './progress.ts';

const root = fileURLToPath(new URL('../..', import.meta.url)); // same depth from lib/ and dist/

/** The bundled models, English to German captions; see models/README.md. */
export const bundled = {
  folder: path.join(root, 'models'),
  /** The largest first. */
  names: ['large', 'base', 'small'],
  target: path.join(root, 'models', 'large'),
  /** With `base` the fastest in f32 on two cores; `bench` measures it. */
  draftLength: 4,
  /** Successors counted in 29,000 German captions, for Max-Gram. */
  bigrams: path.join(root, 'models', 'captions.bigrams.gz'),
  /** What the models were trained to see in front of every text. */
  prefix: 'translate English to German: ',
  captions: path.join(root, 'examples', 'captions', 'test_2016.en'),
  /** Line by line those of the captions. */
  translations: path.join(root, 'examples', 'captions', 'test_2016.de'),
};

/** Options of every command that loads models. */
export const deviceOptions = {
  device: text({
    value: 'DEVICE',
    help: 'where to compute: auto, cpu, cuda or cuda:N',
    default: 'auto',
    pattern: /^(auto|cpu|cuda|cuda:\d{1,3})$/,
    expected: 'auto, cpu, cuda or cuda:N',
  }),
  dtype: text({
    value: 'TYPE',
    help: 'type of the weights in memory: auto, f32, bf16, f16 or int8',
    default: 'auto',
    choices: ['auto', 'f32', 'bf16', 'f16', 'int8'],
  }),
  threads: integer({
    value: 'N',
    help: 'threads of one operation',
    shownDefault: 'all cores',
    min: 1,
    max: 4096,
  }),
};

/** Options of every command that decodes. */
export const modelOptions = {
  target: text({
    value: 'MODEL',
    help:
      'the large model: a folder, a hub id such as google/flan-t5-small, random:SHAPE (random ' +
      'weights, for timing), or large, base or small for a bundled one',
    shownDefault: 'the bundled large',
  }),
  draft: texts({
    value: 'MODEL',
    help: 'the small model that drafts, named likewise',
    shownDefault:
      'the smaller bundled models with a bundled target, as many as it takes; else none',
  }),
  'no-draft': flag('decode without a drafter, one token per pass of the target'),
  prefix: text({
    value: 'TEXT',
    help: "put in front of every text; '' for nothing",
    shownDefault: `'${bundled.prefix}' with a bundled target, else nothing`,
  }),
  ...deviceOptions,
};

type ModelValues = Values<typeof modelOptions>;

/** The models of one run. */
export interface Models {
  target: T5Model;
  /** Those that draft, the largest first. */
  drafts: T5Model[];
  /** As named on the command line; the bundled ones by their names, drafters with + between. */
  names: { target: string; draft: string | null };
  prefix: string;
}

/** What a chain or a tree wants. */
export const oneDrafter = { min: 1, max: 1 };

/** Which models draft, of as many as the command wants; none: no model does. Throws UsageError. */
export function draftSources(values: ModelValues, wanted: { min: number; max: number }): string[] {
  const given = values.draft.map(sourceOf);
  if (values['no-draft']) {
    if (given.length > 0) throw new UsageError('--draft and --no-draft exclude each other');
    return [];
  }
  const { min, max } = wanted;
  const { drafts } = impliedBy(targetSource(values));
  const sources = given.length > 0 ? given : drafts.slice(0, Math.max(min, Math.min(max, 1)));
  if (sources.length > max || (sources.length > 0 && sources.length < min)) {
    const models = min === max ? `${min}` : `${min} or ${max}`;
    throw new UsageError(`--draft: expected ${models} for this draft, received ${sources.length}`);
  }
  return sources;
}

/** Loads what the options name, with progress on a terminal. */
export async function loadModels(
  values: ModelValues,
  context: Context,
  quiet = false,
  wanted = oneDrafter,
): Promise<Models> {
  const named = targetSource(values);
  const sources = draftSources(values, wanted);
  const target = await loadModel(named, values, context, quiet);
  const drafts: T5Model[] = [];
  for (const source of sources) drafts.push(await loadModel(source, values, context, quiet));
  const prefix = values.prefix ?? impliedBy(named).prefix;
  if (prefix !== '' && target.tokenizer === null) {
    const problem = `${named} has no tokenizer, its inputs are token ids`;
    throw new SpeccascadeError('ERR_INPUT', `--prefix: ${problem}`);
  }
  const names = {
    target: modelName(named),
    draft: sources.length === 0 ? null : sources.map(modelName).join('+'),
  };
  return { target, drafts, names, prefix };
}

/**
 * Loads one model, with progress on a terminal. The library comes in here rather than at the top:
 * --help needs no addon, and a missing addon is reported like every failure.
 */
export async function loadModel(
  source: string,
  values: Values<typeof deviceOptions>,
  { terminal, signal }: Context,
  quiet = false,
): Promise<T5Model> {
  const { T5Model } = await import('../model.ts');
  const progress = new Progress(terminal, quiet);
  const options: LoadOptions = {
    device: values.device as Device,
    dtype: values.dtype as Dtype,
    signal,
    onProgress: ({ phase, done, total }) => {
      if (phase === 'upload') return; // side by side with reading
      progress.show(() => share(`${phase} ${modelName(source)}`, done, total));
    },
  };
  if (values.threads !== undefined) options.threads = values.threads;
  try {
    return await T5Model.load(source, options);
  } finally {
    progress.clear();
  }
}

/** The target that options name. */
export function targetSource({ target }: { target: string | undefined }): string {
  return target === undefined ? bundled.target : sourceOf(target);
}

/** What a name stands for: large, base and small are the bundled models. */
export function sourceOf(named: string): string {
  return bundled.names.includes(named) ? path.join(bundled.folder, named) : named;
}

/** The name by which a run speaks of a model: a bundled one by its own. */
export function modelName(source: string): string {
  return isBundled(source) ? path.basename(path.resolve(source)) : source;
}

/** What options leave unsaid with a target. */
interface Implied {
  /** Models that draft, the largest first. */
  drafts: string[];
  /** The file that Max-Gram reads; null: none. */
  bigrams: string | null;
  prefix: string;
}

/** With a bundled target: the smaller bundled models, and what all of them were trained for. */
export function impliedBy(target: string): Implied {
  if (!isBundled(target)) return { drafts: [], bigrams: null, prefix: '' };
  const smaller = bundled.names.slice(bundled.names.indexOf(modelName(target)) + 1);
  const { bigrams, prefix } = bundled;
  return { drafts: smaller.map((name) => path.join(bundled.folder, name)), bigrams, prefix };
}

function isBundled(source: string): boolean {
  const folder = path.resolve(source);
  return path.dirname(folder) === bundled.folder && bundled.names.includes(path.basename(folder));
}
