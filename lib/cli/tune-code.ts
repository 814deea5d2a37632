/** A recommended method as something to paste: TypeScript and a command line. */
import path from 'node:path';
import { usualSizes } from '../session/usual-sizes.ts';
import { copies, sourcesOf, wordsOf, type SpecValues } from './method-spec.ts';
import { bundled, impliedBy } from './models.ts';

export interface CodeNames {
  target: string;
  /** Sources by the names that specs use. */
  sourceOf: (name: string) => string;
  /** What was put in front of every text. */
  prefix: string;
  /** As given: 'auto' leaves the choice to the machine. */
  device: string;
  dtype: string;
  /** undefined: all cores. */
  threads: number | undefined;
  temperature: number;
  maxBatch: number;
  maxNewTokens: number;
  /** The file that Max-Gram's bigrams were read from. */
  bigrams: string | null;
}

/** `values` null: without a drafter. */
export function typescriptOf(values: SpecValues | null, names: CodeNames): string {
  const { threads } = names;
  const loading = objectCode({ device: chosen(names.device), dtype: chosen(names.dtype), threads });
  const load = (name: string): string =>
    `await T5Model.load(${JSON.stringify(names.sourceOf(name))}${loading && `, ${loading}`})`;
  const target = `const target = ${load(names.target)};\n`;
  // Without its prefix a text is another one than those that were measured.
  const text = names.prefix === '' ? 'text' : `${JSON.stringify(names.prefix)} + text`;
  const call = `const result = await session.generate(${text});\n`;
  const options = ['target'];
  const before: string[] = [];
  if (values !== null) {
    const models = modelsOf(values);
    before.push(...models.map((name, i) => `const ${variable(i)} = ${load(name)};\n`));
    const copied = copies(values, models.length) ? names.bigrams : null;
    if (copied !== null) before.push(...bigramsCode(copied));
    options.push(`draft: ${draftCode(values, models.length, copied !== null)}`);
    if (values.rule !== 'lossless') {
      options.push(`rule: ${values.rule}({ alpha: ${values.alpha} })`);
    }
  }
  if (names.temperature > 0) options.push(`sampling: { temperature: ${names.temperature} }`);
  for (const size of ['maxNewTokens', 'maxBatch'] as const) {
    if (names[size] !== usualSizes[size]) options.push(`${size}: ${names[size]}`);
  }
  const session = `const session = await createSession({ ${options.join(', ')} });\n`;
  return `${target}${before.join('')}${session}${call}`;
}

/** `spec`: the words of the method; null: without a drafter. */
export function commandOf(spec: string | null, names: CodeNames): string {
  const source = names.sourceOf(names.target);
  const prefix =
    names.prefix === impliedBy(source).prefix ? '' : ` --prefix ${quoted(names.prefix)}`;
  const { device, dtype, threads, temperature, maxBatch, maxNewTokens } = names;
  const given = Object.entries({
    ...{ device: chosen(device), dtype: chosen(dtype), threads },
    temperature: temperature > 0 ? temperature : undefined,
    'max-new-tokens': maxNewTokens === usualSizes.maxNewTokens ? undefined : maxNewTokens,
    batch: maxBatch === usualSizes.maxBatch ? undefined : maxBatch,
  })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` --${name} ${value}`);
  const target = `speccascade generate --target ${quoted(source)}${prefix}${given.join('')}`;
  if (spec === null) return `${target} --no-draft`;
  const options = wordsOf(spec).flatMap((word) => {
    if (!word.startsWith('draft=')) return [`--${word.replace('=', ' ')}`];
    const models = sourcesOf(word.slice('draft='.length));
    return models.map((name) => `--draft ${quoted(names.sourceOf(name))}`);
  });
  return `${target} ${options.join(' ')}`;
}

function modelsOf(values: SpecValues): string[] {
  return sourcesOf(values.draft ?? '');
}

function bigramsCode(file: string): string[] {
  const read = `await readFile(${JSON.stringify(file)})`;
  const unpack = { '.gz': 'gunzipSync', '.zst': 'zstdDecompressSync' }[path.extname(file)];
  return [
    unpack === undefined
      ? `const bytes = ${read}; // of node:fs/promises\n`
      : `const bytes = ${unpack}(${read}); // of node:zlib and node:fs/promises\n`,
    'const bigrams = new Int32Array(new Uint8Array(bytes).buffer);\n',
  ];
}

function draftCode(values: SpecValues, models: number, bigrams: boolean): string {
  const { adaptive, lengths, tree, length, 'max-gram': alone } = values;
  const first = variable(0);
  if (alone) return `maxGram({ length: ${length}${bigrams ? ', bigrams' : ''} })`;
  if (adaptive) return `adaptive(chain(${first}, { length: ${length ?? 8} }))`;
  if (lengths !== undefined) {
    const rows = lengths.split('/').map((row) => `[${row.split(',').join(', ')}]`);
    const below = bigrams ? ', maxGram: { bigrams }' : '';
    const copying = copies(values, models) ? below : ', maxGram: false';
    const list = Array.from({ length: models }, (_, i) => variable(i)).join(', ');
    return `csDraft([${list}], { lengths: [${rows.join(', ')}]${copying} })`;
  }
  if (tree !== undefined) return `tree(${first}, { widths: [${tree.split(',').join(', ')}] })`;
  return `chain(${first}, { length: ${length ?? bundled.draftLength} })`;
}

function chosen(value: string): string | undefined {
  return value === 'auto' ? undefined : value;
}

/** '' where nothing is said. */
function objectCode(values: Record<string, string | number | undefined>): string {
  const said = Object.entries(values).filter(([, value]) => value !== undefined);
  if (said.length === 0) return '';
  return `{ ${said.map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(', ')} }`;
}

function variable(i: number): string {
  return i === 0 ? 'drafter' : `drafter${i + 1}`;
}

function quoted(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
