/** speccascade bench: what speculation gains on this machine. */
import os from 'node:os';
import { SpeccascadeError } from '../errors.ts';
import { maxSlots } from '../session/usual-sizes.ts';
import { benchTable, type BenchReport } from './bench-table.ts';
import { defineCommand, type Context } from './command.ts';
import { lengthOption } from './length-option.ts';
import { readTexts } from './lines.ts';
import {
  bundled,
  draftSources,
  loadModels,
  modelOptions,
  oneDrafter,
  type Models,
} from './models.ts';
import { flag, integer, integers, text, UsageError, type Values } from './options.ts';
import { Progress } from './progress.ts';
import { json } from './views.ts';

const excluded = ['loading', 'creation of sessions', 'tokenisation', 'one warm-up run of each row'];

/** Of chains. */
const usualLengths = [1, 2, 3, 4, 5, 7];

const options = {
  ...modelOptions,
  input: text({
    value: 'FILE',
    help: 'texts to decode, one per line; - is standard input',
    shownDefault: 'the captions in examples/captions',
  }),
  limit: integer({ value: 'N', help: 'only the first N texts', default: 100, min: 1, max: 1e6 }),
  length: integers({
    value: 'N,N,...',
    help: 'lengths of the chain to try',
    shownDefault: usualLengths.join(','),
    min: 1,
    max: 255,
  }),
  batch: integers({
    value: 'N,N,...',
    help: 'numbers of texts decoded together',
    default: [1, 16],
    min: 1,
    max: maxSlots,
  }),
  repeats: integer({ value: 'N', help: 'timed runs of each row', default: 7, min: 1, max: 1000 }),
  ...lengthOption,
  json: flag('one JSON object instead of the table'),
  quiet: flag('no progress'),
};

type BenchValues = Values<typeof options>;

export const bench = defineCommand({
  name: 'bench',
  summary: 'measure what speculation gains on this machine',
  operands: '',
  operandCount: { min: 0, max: 0 },
  about:
    'Decodes the same texts greedily without and with a drafter, several draft lengths and batch ' +
    'sizes in turn, and prints medians. Speed-ups are ratios within a repeat. Checks that all ' +
    "outputs are the target's own; the exit code is 1 if they are not.\n\n" +
    'Not timed: loading, creating sessions, tokenisation, and one warm-up run of each row.',
  options,
  examples: [
    'speccascade bench',
    'speccascade bench --dtype f32 --threads 1 --length 4 --batch 1 --json',
    'speccascade bench --target random:t5-base --draft random:t5-small --limit 4',
  ],
  async run(values, _operands, context) {
    if (values.length !== undefined && draftSources(values, oneDrafter).length === 0) {
      throw new UsageError('--length is of a drafter, and there is none');
    }
    const texts = await readTexts(values.input ?? bundled.captions, values.limit, context);
    const models = await loadModels(values, context, values.quiet);
    const report = await runBench(values, models, texts, context);
    await context.terminal.write(values.json ? json(report) : benchTable(report));
    if (report.greedyOutputsEqual) return 0;
    context.terminal.note("bench: greedy outputs differ from the target's own");
    return 1;
  },
});

async function runBench(
  values: BenchValues,
  models: Models,
  texts: string[],
  { terminal, signal }: Context,
): Promise<BenchReport> {
  const { measure } = await import('./measure.ts');
  const { target, names, prefix } = models;
  const draft = models.drafts[0] ?? null;
  const inputs = await encodeAll(models, texts);
  const progress = new Progress(terminal, values.quiet);
  let tokens: number;
  let rows: BenchReport['rows'];
  try {
    const { length: lengths = usualLengths, batch: batches, repeats } = values;
    const sizes = { lengths, batches, repeats, maxNewTokens: values['max-new-tokens'] };
    const onRun = (what: string): void => progress.show(() => what);
    ({ rows, tokens } = await measure({ target, draft, inputs, ...sizes, signal, onRun }));
  } finally {
    progress.clear();
  }
  return {
    machine: {
      cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
      cores: os.availableParallelism(),
      threads: values.threads ?? os.availableParallelism(),
      platform: `${process.platform}-${process.arch}`,
      node: process.version,
    },
    models: { ...names, device: target.device, dtype: target.dtype },
    texts: texts.length,
    tokens,
    prefix,
    repeats: values.repeats,
    excluded,
    greedyOutputsEqual: rows.every(({ different }) => different === 0),
    rows,
  };
}

/** Random weights have no tokenizer; for their speed any ids will do. */
async function encodeAll({ target, prefix }: Models, texts: string[]): Promise<Int32Array[]> {
  const { Tokenizer } = await import('../tokenizer.ts');
  const tokenizer = target.tokenizer ?? (await Tokenizer.load(bundled.target));
  if (tokenizer === null) throw new SpeccascadeError('ERR_CHECKPOINT', 'no tokenizer found');
  return texts.map((one) => Int32Array.from(tokenizer.encode(prefix + one)));
}
