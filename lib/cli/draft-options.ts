/** Who drafts, in which shape, and how drafts are tested, from the command line. */
import type { Drafter, MaxGramOptions } from '../drafters.ts';
import { checkLengths, checkWidths } from '../drafters/checks.ts';
import { ioError, type SpeccascadeError } from '../errors.ts';
import type { T5Model } from '../model.ts';
import type { CascadeOptions } from '../session/cascade-options.ts';
import type { SessionOptions } from '../session/options.ts';
import { checkInteger } from '../validate.ts';
import { bundled } from './models.ts';
import { flag, integer, number, text, UsageError, type Values } from './options.ts';
import { numberOf, realNumber } from './real-number.ts';

const wholeNumbers = {
  pattern: /^\d+(,\d+)*$/,
  expected: 'whole numbers with commas between them',
};

/** Longest draft where the length is chosen step by step. */
const adaptiveLength = 8;

export const draftOptions = {
  length: integer({
    value: 'N',
    help: 'tokens that the drafter drafts per pass of the target',
    shownDefault: `${bundled.draftLength}; ${adaptiveLength} with --adaptive, 10 with --max-gram`,
    min: 1,
    max: 255,
  }),
  tree: text({
    value: 'WIDTHS',
    help: 'draft a tree instead of a chain: candidates per node, level by level, such as 4,2,2',
    ...wholeNumbers,
  }),
  replacement: flag('draw the candidates of a tree with replacement'),
  nodes: integer({
    value: 'N',
    help: "draft a dynamic tree: the N most probable candidates on the drafter's paths",
    min: 1,
    max: 255,
  }),
  depth: integer({
    value: 'N',
    help: 'levels of a dynamic tree',
    shownDefault: '6',
    min: 1,
    max: 255,
  }),
  'max-gram': flag('draft without a model: copies of what followed a repeated suffix'),
  bigrams: text({
    value: 'FILE',
    help: 'what Max-Gram proposes where nothing is repeated; made by speccascade bigrams',
    shownDefault: 'that of the captions with a bundled target, else none',
  }),
  lengths: text({
    value: 'MATRIX',
    help:
      'cascade drafting by every --draft, the largest first: rows for the target and each drafter, ' +
      'such as 5,14,10/0,1,10/0,0,10; one row more than drafters adds Max-Gram',
    pattern: /^\d+(,\d+)*(\/\d+(,\d+)*)*$/,
    expected: 'rows of whole numbers with / between them',
  }),
  lenience: number({
    value: 'L',
    help: 'of reviews between the drafters of a cascade, at least 1',
    shownDefault: '1',
    min: 1,
    max: 1e6,
  }),
  adaptive: flag('choose the length of chains and cascades step by step, at most --length'),
  confidence: number({
    value: 'P',
    help: 'with --adaptive: draft nothing where the drafter is less sure than this',
    shownDefault: '0',
    min: 0,
    max: 1,
  }),
  verifier: text({
    value: 'NAME',
    help: 'how drafts are tested: auto, token, block (chains), traversal (trees) or k-seq (trees with --replacement)',
    default: 'auto',
    choices: ['auto', 'token', 'block', 'k-seq', 'traversal'],
  }),
  strategy: text({
    value: 'NAME',
    help: 'speculative, or without speculation token-cascade (with a --rule other than lossless) or sequence-cascade',
    default: 'speculative',
    choices: ['speculative', 'token-cascade', 'sequence-cascade'],
  }),
  score: text({
    value: 'NAME',
    help: 'of a sequence cascade: probability, mean-logprob, quantile or chow-sum',
    shownDefault: 'probability',
    choices: ['probability', 'mean-logprob', 'quantile', 'chow-sum'],
  }),
  threshold: text({
    value: 'S',
    help: 'of a sequence cascade: the target answers where the score is lower',
    shownDefault: '0.5; -0.2 of mean-logprob, -1 of quantile, log 0.5 of chow-sum',
    ...realNumber,
  }),
  quantile: number({
    value: 'Q',
    help: 'of --score quantile, from 0 to 1',
    shownDefault: '0, the least likely token',
    min: 0,
    max: 1,
  }),
  'max-run': integer({
    value: 'N',
    help: 'of a token cascade: most tokens between calls of the target',
    shownDefault: '10',
    min: 1,
    max: 255,
  }),
};

type DraftValues = Values<typeof draftOptions>;

function isSequenceCascade({ strategy }: DraftValues): boolean {
  return strategy === 'sequence-cascade';
}

/** Options that mean something beside others alone. */
const companions: [keyof DraftValues, (values: DraftValues) => unknown, string][] = [
  ['length', ({ tree, nodes, lengths }) => !(tree ?? nodes ?? lengths), 'of chains and --max-gram'],
  ['length', ({ strategy }) => strategy === 'speculative', 'of speculation; see --max-run'],
  ['replacement', ({ tree }) => tree, 'of --tree'],
  [
    'replacement',
    ({ 'max-gram': copies }) => !copies,
    'of a model, which draws; --max-gram copies',
  ],
  ['adaptive', ({ tree, nodes }) => !(tree ?? nodes), 'of chains and cascades'],
  ['depth', ({ nodes }) => nodes, 'of --nodes'],
  ['bigrams', ({ lengths, 'max-gram': copies }) => lengths ?? copies, 'of --max-gram or --lengths'],
  ['lenience', ({ lengths }) => lengths, 'of --lengths'],
  [
    'confidence',
    ({ adaptive, lengths, 'max-gram': copies }) => adaptive && !lengths && !copies,
    'of chains of a model with --adaptive',
  ],
  ['max-gram', ({ lengths }) => !lengths, 'said by --lengths, with one row more'],
  ['max-run', ({ strategy }) => strategy === 'token-cascade', 'of --strategy token-cascade'],
  ['score', isSequenceCascade, 'of --strategy sequence-cascade'],
  ['threshold', isSequenceCascade, 'of --strategy sequence-cascade'],
  ['quantile', ({ score }) => score === 'quantile', 'of --score quantile'],
];

/**
 * How many models the options let draft. Throws UsageError for shapes that exclude each other, and
 * for options that mean nothing with them.
 */
export function wantedModels(values: DraftValues): { min: number; max: number } {
  const shapes = (['tree', 'nodes', 'lengths'] as const).filter(
    (name) => values[name] !== undefined,
  );
  if (shapes.length > 1) {
    throw new UsageError(`--${shapes[0]} and --${shapes[1]} exclude each other`);
  }
  for (const [name, has, where] of companions) {
    const given = values[name] !== undefined && values[name] !== false;
    if (given && !has(values)) throw new UsageError(`--${name} is ${where}`);
  }
  checkShapes(values);
  if (values.lengths !== undefined) {
    const rows = values.lengths.split('/').length;
    return { min: Math.max(1, rows - 1), max: rows };
  }
  if (!values['max-gram']) return { min: 1, max: 1 };
  if (values.nodes !== undefined) {
    throw new UsageError('--nodes needs a model, --max-gram has none');
  }
  return { min: 0, max: 0 };
}

/** Throws UsageError for a table that nothing reads where so many models draft. */
export function checkBigramsRead({ bigrams, lengths }: DraftValues, models: number): void {
  if (bigrams === undefined || lengths === undefined || rowsOf(lengths).length > models) return;
  throw new UsageError('--bigrams is of --lengths with one row more than drafters');
}

/** What the drafters' constructors would find once the models are there. */
function checkShapes({ tree, lengths, nodes, depth }: DraftValues): void {
  try {
    if (tree !== undefined) checkWidths(widthsOf(tree));
    if (lengths !== undefined) checkLengths(rowsOf(lengths), rowsOf(lengths).length);
    if (nodes !== undefined && depth !== undefined) checkInteger('depth', depth, 1, nodes);
  } catch (error) {
    throw new UsageError(`--${(error as SpeccascadeError).message}`);
  }
}

function widthsOf(tree: string): number[] {
  return tree.split(',').map(Number);
}

function rowsOf(lengths: string): number[][] {
  return lengths.split('/').map((row) => row.split(',').map(Number));
}

/** From as many models as wanted. */
async function drafterOf(
  models: readonly T5Model[],
  values: DraftValues,
  defaultBigrams: string | null,
): Promise<Drafter> {
  const { adaptive } = await import('../drafters.ts');
  const drafter = await fixedDrafter(models, values, defaultBigrams);
  if (!values.adaptive) return drafter;
  if (drafter.drafter === 'tree' || drafter.drafter === 'dynamicTree') {
    throw new UsageError('--adaptive is of chains and cascades');
  }
  return adaptive(
    drafter as Parameters<typeof adaptive>[0],
    defined({ confidence: values.confidence }),
  );
}

async function fixedDrafter(
  models: readonly T5Model[],
  values: DraftValues,
  defaultBigrams: string | null,
): Promise<Drafter> {
  const { chain, csDraft, dynamicTree, maxGram, tree } = await import('../drafters.ts');
  const { length, lenience, replacement, nodes, depth } = values;
  const copies = await maxGramOptions(values.bigrams ?? defaultBigrams);
  if (values.lengths !== undefined) {
    const lengths = rowsOf(values.lengths);
    const withCopies = lengths.length > models.length;
    return csDraft([...models], {
      lengths,
      maxGram: withCopies ? copies : false,
      ...defined({ lenience }),
    });
  }
  const source = values['max-gram'] ? maxGram({ ...copies, ...defined({ length }) }) : models[0]!;
  if (values.tree !== undefined) {
    return tree(source, { widths: widthsOf(values.tree), replacement });
  }
  if ('drafter' in source) return source;
  if (nodes !== undefined) {
    return dynamicTree(source, { nodes, ...defined({ depth }) });
  }
  const usual = values.adaptive ? adaptiveLength : bundled.draftLength;
  return chain(source, { length: length ?? usual });
}

/** Throws ERR_IO, ERR_INPUT where --bigrams names no table. */
export async function checkBigrams({ bigrams }: Pick<DraftValues, 'bigrams'>): Promise<void> {
  await maxGramOptions(bigrams ?? null);
}

async function maxGramOptions(bigrams: string | null): Promise<MaxGramOptions> {
  if (bigrams === null) return {};
  try {
    const { loadBigrams } = await import('./bigrams-file.ts');
    return { bigrams: await loadBigrams(bigrams) };
  } catch (cause) {
    throw ioError('--bigrams', cause);
  }
}

/** Whatever of a session's options says how to draft and how drafts are tested. */
export type DraftSession = Pick<SessionOptions, 'draft' | 'verifier' | 'strategy' | 'cascade'>;

/** `defaultBigrams`: the file that Max-Gram reads where the options name none. Throws ERR_INPUT, ERR_IO. */
export async function draftSession(
  models: readonly T5Model[],
  values: DraftValues,
  defaultBigrams: string | null,
): Promise<DraftSession> {
  const { score, quantile, 'max-run': maxRun } = values;
  const threshold = values.threshold === undefined ? undefined : numberOf(values.threshold);
  const cascade = defined({ score, threshold, quantile, maxRun }) as CascadeOptions;
  return {
    draft: await drafterOf(models, values, defaultBigrams),
    verifier: values.verifier as 'auto',
    strategy: values.strategy as 'speculative',
    ...(Object.keys(cascade).length > 0 ? { cascade } : {}),
  };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without what is undefined. */
function defined<T extends object>(options: T): Defined<T> {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as Defined<T>;
}
