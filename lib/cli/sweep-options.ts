/** The options of `speccascade sweep`, and what they mean together. */
import { readFile } from 'node:fs/promises';
import { ioError, SpeccascadeError } from '../errors.ts';
import { maxSlots } from '../session/usual-sizes.ts';
import { lengthOption } from './length-option.ts';
import { parseMethod, targetSpec, type MethodSpec } from './method-spec.ts';
import { bundled, deviceOptions } from './models.ts';
import { flag, integer, numbers, seed, text, texts, UsageError, type Values } from './options.ts';

const alphas = '0.05,0.1,0.2,0.4';

/** What is swept where no method is named. */
const defaultMethods: readonly string[] = [
  'length=4',
  'tree=4,2,1',
  `rule=lossy alpha=0.2,0.4,0.6,0.8`,
  `rule=chow alpha=${alphas}`,
  `rule=diff alpha=${alphas}`,
  `rule=opt alpha=${alphas}`,
  `rule=tokenV3 alpha=0.2,0.4,0.6,0.8`,
];

/** Of commands that score outputs. */
export const evaluationOptions = {
  input: text({
    value: 'FILE',
    help:
      "lines of text with --references, or JSON lines of 'input' and 'reference' or " +
      "'references' (a name that ends in .jsonl)",
    shownDefault: 'the captions in examples/captions',
  }),
  references: text({ value: 'FILE', help: 'the right outputs of --input, line by line' }),
  target: text({
    value: 'MODEL',
    help: 'the large model: a folder, a hub id, or large, base or small for a bundled one',
    shownDefault: 'the bundled large',
  }),
  prefix: text({
    value: 'TEXT',
    help: "put in front of every text; '' for nothing",
    shownDefault: `'${bundled.prefix}' with a bundled target, else nothing`,
  }),
  ...deviceOptions,
  parts: integer({
    value: 'N',
    help:
      'into how many parts the texts are dealt; all methods do a part in turn, and times are ' +
      'medians over parts',
    shownDefault: '5, fewer for fewer texts',
    min: 1,
    max: 1000,
  }),
};

/** Into how many parts so many texts are dealt. Throws ERR_INPUT. */
export function partsOf({ parts }: { parts: number | undefined }, texts: number): number {
  if (parts === undefined) return Math.min(5, texts);
  if (parts <= texts) return parts;
  const problem = `--parts ${parts}: expected at most one per text, received ${texts} texts`;
  throw new SpeccascadeError('ERR_INPUT', problem);
}

export const sweepOptions = {
  ...evaluationOptions,
  limit: integer({ value: 'N', help: 'only the first N texts', default: 1000, min: 1, max: 1e6 }),
  draft: text({
    value: 'MODEL',
    help: 'the drafter of methods that name none',
    shownDefault: 'the next smaller bundled model with a bundled target, else none',
  }),
  method: texts({
    value: 'SPEC',
    help:
      "a method: options of generate without their dashes, such as 'tree=4,2 rule=opt " +
      "alpha=0,0.1,0.2'; a list of alphas is a curve",
  }),
  methods: text({ value: 'FILE', help: 'methods one per line; # begins a comment' }),
  temperature: numbers({
    value: 'T,T,...',
    help: 'temperatures at which every method runs; 0 is greedy',
    default: [0, 1],
    min: 0,
    max: 1e6,
  }),
  batch: integer({ value: 'N', help: 'texts decoded together', default: 1, min: 1, max: maxSlots }),
  ...lengthOption,
  seed: seed({ value: 'SEED', help: 'of all draws', shownDefault: '0' }),
  out: text({ value: 'DIR', help: 'where results go', default: 'sweep' }),
  fresh: flag('begin anew instead of keeping the finished runs in --out'),
  json: flag('the points as JSON instead of the table'),
  quiet: flag('no progress'),
};

export type SweepValues = Values<typeof sweepOptions>;

/** The target first; each method once. Throws UsageError. */
export async function sweepMethods(values: SweepValues): Promise<MethodSpec[]> {
  const lines = values.methods === undefined ? [] : await readMethods(values.methods);
  const named = [...values.method, ...lines];
  const specs = (named.length > 0 ? named : defaultMethods).flatMap(parseMethod);
  const all = [...parseMethod(targetSpec), ...specs];
  return all.filter(({ id }, i) => all.findIndex((other) => other.id === id) === i);
}

async function readMethods(file: string): Promise<string[]> {
  let content: string;
  try {
    content = await readFile(file, 'utf8');
  } catch (cause) {
    throw ioError(file, cause);
  }
  const lines = content.split('\n').map((line) => line.replace(/#.*/, '').trim());
  const methods = lines.filter((line) => line !== '');
  if (methods.length === 0) throw new UsageError(`--methods: no method in ${file}`);
  return methods;
}

/** Which files hold texts and references. Throws UsageError. */
export function evaluationFiles(values: Pick<SweepValues, 'input' | 'references'>): {
  input: string;
  references: string | undefined;
} {
  const { input, references } = values;
  if (input === undefined) {
    if (references !== undefined) throw new UsageError('--references needs --input');
    return { input: bundled.captions, references: bundled.translations };
  }
  const records = input.endsWith('.jsonl');
  if (records === (references === undefined)) return { input, references };
  throw new UsageError(
    records
      ? '--references: JSON lines hold the references themselves'
      : '--input: expected --references with a file of lines',
  );
}
