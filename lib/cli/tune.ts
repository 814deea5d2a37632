/** speccascade tune: which method to use on this machine, for these texts. */
import path from 'node:path';
import type { Method } from '../evaluate/method.ts';
import { decide } from '../evaluate/tune-decide.ts';
import { defineCommand, type Context } from './command.ts';
import { readTexts } from './lines.ts';
import { methodOf, parseMethod, targetSpec, type MethodModels } from './method-spec.ts';
import { ModelShelf } from './model-shelf.ts';
import { impliedBy, modelName, sourceOf, targetSource } from './models.ts';
import { Progress } from './progress.ts';
import { readReferenced, type Referenced } from './references.ts';
import { evaluationFiles, partsOf } from './sweep-options.ts';
import { checkTune, tuneOptions, type TuneValues } from './tune-options.ts';
import type { Prediction } from './tune-plan.ts';
import { tuneReport, tuneText, type TuneReport } from './tune-report.ts';

export const tune = defineCommand({
  name: 'tune',
  summary: 'recommend a method for your texts on this machine',
  operands: '',
  operandCount: { min: 0, max: 0 },
  about:
    'Measures on a sample of texts what passes of target and drafters cost and how many drafted ' +
    'tokens are accepted, depth by depth; predicts from that the speed-up of chains, trees, ' +
    'Max-Gram and cascades of drafters; measures the most promising in turn against the target; ' +
    "and recommends the fastest that meets the goal, or that you don't speculate.\n\n" +
    'The goal is lossless decoding, or with --max-bleu-loss at most that much less BLEU than the ' +
    'target alone. Texts are lines, or JSON lines as for sweep; without --input the bundled ' +
    'captions.',
  options: tuneOptions,
  examples: [
    'speccascade tune',
    'speccascade tune --input texts.txt --target my/large --draft my/small --batch 8',
    'speccascade tune --input in.jsonl --max-bleu-loss 0.5 --limit 500',
  ],
  async run(values, _operands, context) {
    checkTune(values);
    const data = await readSample(values, context);
    const parts = partsOf(values, data.texts.length);
    const report = await runTune({ ...values, parts }, data, context);
    const { terminal } = context;
    await terminal.write(values.json ? `${JSON.stringify(report)}\n` : tuneText(report));
    return 0;
  },
});

const onceMore = ' when measured once more';

type TuneSample = Pick<Referenced, 'texts'> & { references: string[][] | null };

async function readSample(values: TuneValues, context: Context): Promise<TuneSample> {
  const { input, references, limit } = values;
  const plain = input !== undefined && references === undefined && !input.endsWith('.jsonl');
  if (plain) return { texts: await readTexts(input, limit, context), references: null };
  const files = evaluationFiles(values);
  return readReferenced(files.input, files.references, limit);
}

async function runTune(
  values: TuneValues & { parts: number },
  data: TuneSample,
  context: Context,
): Promise<TuneReport> {
  // These load the addon, which --help does without.
  const { measureCandidates } = await import('./tune-measure.ts');
  const { gatherEvidence, predictions } = await import('./tune-plan.ts');
  const shelf = await ModelShelf.open(values, context, values.quiet);
  const progress = new Progress(context.terminal, values.quiet);
  try {
    const drafters = draftersOf(values);
    const models: MethodModels = {
      target: shelf.target,
      defaultDraft: drafters[0],
      defaultBigrams: impliedBy(targetSource(values)).bigrams,
      load: (source) => shelf.load(source),
    };
    const inputs = shelf.encode(data.texts);
    const { temperature, batch } = values;
    const shape = {
      ...{ inputs, temperature, batch, seed: values.seed ?? 0n, signal: context.signal },
      maxNewTokens: values['max-new-tokens'],
    };
    const evidence = await gatherEvidence(drafters, models, shape, (what) =>
      progress.show(() => `measuring costs and acceptance: ${what}`),
    );
    const predicted = predictions(evidence);
    const methods = await chosenMethods(values, predicted, models);
    const plan = {
      ...{ ...shape, parts: values.parts },
      onRun: ({ method, done, total }: { method: string; done: number; total: number }): void =>
        progress.show(() => `measuring, ${done} of ${total}: ${method}`),
    };
    const measured = await measureCandidates(methods, plan, data.references);
    const maxBleuLoss = values['max-bleu-loss'] ?? null;
    const first = decide(measured, { maxBleuLoss });
    // The fastest of many was lucky too: it is measured once more, by itself.
    const winners = methods.filter(
      ({ id, kind }) => kind === 'target' || (first.speculate && id === first.choice.method),
    );
    const again = first.speculate ? await measureCandidates(winners, plan, data.references) : null;
    return tuneReport(
      {
        ...{ conditions: conditions(values, shelf, data), goal: goalText(maxBleuLoss) },
        ...{ evidence, predictions: predicted, measured, confirmed: again?.[0] ?? null },
        decision: again === null ? first : decide(again, { maxBleuLoss }, onceMore),
      },
      {
        ...{ target: shelf.targetName, sourceOf: pasted, prefix: shelf.prefix },
        ...{ device: values.device, dtype: values.dtype, threads: values.threads },
        ...{ temperature, maxBatch: batch, maxNewTokens: shape.maxNewTokens },
        bigrams: models.defaultBigrams && pasted(models.defaultBigrams),
      },
    );
  } finally {
    progress.clear();
    await shelf.close();
  }
}

/** The target, the most promising lossless methods, and rules where the goal allows them. */
async function chosenMethods(
  values: TuneValues,
  predicted: readonly Prediction[],
  models: MethodModels,
): Promise<Method[]> {
  const { ruleSpecs } = await import('./tune-measure.ts');
  const { shortlist } = await import('./tune-plan.ts');
  const rules =
    values['max-bleu-loss'] === undefined ? [] : ruleSpecs(predicted, values.temperature);
  const specs = [targetSpec, ...shortlist(predicted, values.candidates), ...rules];
  const methods: Method[] = [];
  for (const spec of specs.flatMap(parseMethod)) methods.push(await methodOf(spec, models));
  return methods;
}

/** A path as it is typed in the current folder. */
function pasted(name: string): string {
  const source = sourceOf(name);
  const relative = path.relative('', source);
  return path.isAbsolute(source) && !relative.startsWith('..') ? relative : source;
}

function draftersOf(values: TuneValues): string[] {
  const { draft } = values;
  return draft.length > 0 ? draft : impliedBy(targetSource(values)).drafts.map(modelName);
}

function goalText(maxBleuLoss: number | null): string {
  return maxBleuLoss === null ? 'lossless, fastest' : `fastest within ${maxBleuLoss} BLEU`;
}

function conditions(
  values: TuneValues & { parts: number },
  shelf: ModelShelf,
  { texts }: TuneSample,
): string {
  const { target, targetName } = shelf;
  const how = values.temperature === 0 ? 'greedy' : `temperature ${values.temperature}`;
  return (
    `target ${targetName}, ${target.dtype} on ${target.device}, batch ${values.batch}, ${how}; ` +
    `${texts.length} texts in ${values.parts} parts`
  );
}
