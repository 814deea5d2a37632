/** A recommended method as something to paste: TypeScript and a command line. */
import type { SpecValues } from './method-spec.ts';
import { bundled, isBundled } from './models.ts';

export interface CodeNames {
  target: string;
  /** Sources by the names that specs use. */
  sourceOf: (name: string) => string;
  /** What was put in front of every text. */
  prefix: string;
}

/** `values` null: without a drafter. */
export function typescriptOf(values: SpecValues | null, names: CodeNames): string {
  const load = (name: string): string =>
    `await T5Model.load(${JSON.stringify(names.sourceOf(name))})`;
  const target = `const target = ${load(names.target)};\n`;
  // Without its prefix a text is another one than those that were measured.
  const text = names.prefix === '' ? 'text' : `${JSON.stringify(names.prefix)} + text`;
  const call = `const result = await session.generate(${text});\n`;
  if (values === null) return `${target}const session = await createSession({ target });\n${call}`;
  const models = modelsOf(values);
  const drafters = models.map((name, i) => `const ${variable(i)} = ${load(name)};\n`);
  const options = ['target', `draft: ${draftCode(values, models.length)}`];
  if (values.rule !== 'lossless') options.push(`rule: ${values.rule}({ alpha: ${values.alpha} })`);
  const session = `const session = await createSession({ ${options.join(', ')} });\n`;
  return `${target}${drafters.join('')}${session}${call}`;
}

/** `spec`: the words of the method; null: without a drafter. */
export function commandOf(spec: string | null, names: CodeNames): string {
  const source = names.sourceOf(names.target);
  const usual = isBundled(source) ? bundled.prefix : '';
  const prefix = names.prefix === usual ? '' : ` --prefix ${quoted(names.prefix)}`;
  const target = `speccascade generate --target ${quoted(source)}${prefix}`;
  if (spec === null) return `${target} --no-draft`;
  const options = spec.split(' ').flatMap((word) => {
    if (!word.startsWith('draft=')) return [`--${word.replace('=', ' ')}`];
    const models = word.slice('draft='.length).split('+');
    return models.map((name) => `--draft ${quoted(names.sourceOf(name))}`);
  });
  return `${target} ${options.join(' ')}`;
}

function modelsOf(values: SpecValues): string[] {
  return values['max-gram'] ? [] : (values.draft?.split('+') ?? []);
}

function draftCode(values: SpecValues, models: number): string {
  const { adaptive, lengths, tree, length, 'max-gram': copies } = values;
  const first = variable(0);
  if (copies) return `maxGram({ length: ${length} })`;
  if (adaptive) return `adaptive(chain(${first}, { length: ${length ?? 8} }))`;
  if (lengths !== undefined) {
    const rows = lengths.split('/').map((row) => `[${row.split(',').join(', ')}]`);
    const copying = rows.length > models ? '' : ', maxGram: false';
    const list = Array.from({ length: models }, (_, i) => variable(i)).join(', ');
    return `csDraft([${list}], { lengths: [${rows.join(', ')}]${copying} })`;
  }
  if (tree !== undefined) return `tree(${first}, { widths: [${tree.split(',').join(', ')}] })`;
  return `chain(${first}, { length: ${length ?? bundled.draftLength} })`;
}

function variable(i: number): string {
  return i === 0 ? 'drafter' : `drafter${i + 1}`;
}

function quoted(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
