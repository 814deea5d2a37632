/** speccascade sweep: quality against cost, of many methods on the same texts. */
import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { ioError } from '../errors.ts';
import type { Method } from '../evaluate/method.ts';
import type { RunHeader } from '../evaluate/run-log.ts';
import { defineCommand, type Context } from './command.ts';
import {
  bigramFiles,
  checkMethods,
  methodOf,
  type MethodModels,
  type MethodSpec,
} from './method-spec.ts';
import { ModelShelf } from './model-shelf.ts';
import { bundled, impliedBy, targetSource } from './models.ts';
import { Progress } from './progress.ts';
import { readReferenced, type Referenced } from './references.ts';
import {
  evaluationFiles,
  partsOf,
  sweepMethods,
  sweepOptions,
  type SweepValues,
} from './sweep-options.ts';
import { conditions, reportJson, writeReport, type SweepReport } from './sweep-output.ts';

export const sweep = defineCommand({
  name: 'sweep',
  summary: 'quality (BLEU, chrF) against cost of methods, as files and plots',
  operands: '',
  operandCount: { min: 0, max: 0 },
  about:
    'Decodes texts that have references with each method at each temperature, and writes to --out ' +
    'the points as sweep.json, sweep.csv and table.md, and plots of quality against calls of the ' +
    'target (calls.svg, calls.png) and against measured time (latency.svg, latency.png).\n\n' +
    'A method is written as the options of generate without their dashes: length=4, ' +
    "'tree=4,2 replacement', 'draft=small rule=opt alpha=0,0.1', " +
    "'draft=base+small lengths=4,0/0,2'; and alone=MODEL decodes without the target. The target " +
    'alone is always there. A list of alphas, rollbacks or thresholds is a curve.\n\n' +
    'Every finished run is kept in runs.jsonl of --out: the same command line goes on after an ' +
    'interruption, and methods may be added later.',
  options: sweepOptions,
  examples: [
    'speccascade sweep --limit 100 --out sweep',
    "speccascade sweep --method length=3 --method 'tree=4,2 rule=tokenV3 alpha=0.1,0.3'",
    'speccascade sweep --input in.jsonl --target my/large --draft my/small --temperature 0',
  ],
  async run(values, _operands, context) {
    const specs = await sweepMethods(values);
    await checkMethods(specs, defaultDraft(values));
    const { input, references } = evaluationFiles(values);
    const data = await readReferenced(input, references, values.limit);
    const parts = partsOf(values, data.texts.length);
    await makeFolder(values.out);
    const report = await runSweep(values, { specs, data, parts }, context);
    const note = (line: string): void => context.terminal.note(line);
    const files = await writeReport(values.out, report, note);
    if (!values.quiet) note(`sweep: wrote ${files.join(', ')}`);
    const { tables } = await import('../evaluate/table.ts');
    const table = `${conditions(report)}\n\n${tables(report.points)}`;
    await context.terminal.write(values.json ? reportJson(report) : table);
    return 0;
  },
});

async function runSweep(
  values: SweepValues,
  work: { specs: MethodSpec[]; data: Referenced; parts: number },
  context: Context,
): Promise<SweepReport> {
  const { fingerprintOf } = await import('../fingerprint.ts');
  const { checkSweep, sweep: run } = await import('../evaluate/sweep.ts');
  const { RunLog } = await import('../evaluate/run-log.ts');
  const { pointsOf } = await import('../evaluate/points.ts');
  const { data, parts } = work;
  const shelf = await ModelShelf.open(values, context, values.quiet);
  try {
    const models = methodModels(values, shelf);
    const methods: Method[] = [];
    for (const spec of work.specs) methods.push(await methodOf(spec, models));
    const plan = {
      ...{ methods, inputs: shelf.encode(data.texts), batch: values.batch },
      temperatures: [...new Set(values.temperature)],
      maxNewTokens: values['max-new-tokens'],
      seed: values.seed ?? 0n,
    };
    checkSweep(plan); // before the log knows of tables that are wrong
    const header = headerOf(values, shelf, work);
    const log = await RunLog.open(path.join(values.out, 'runs.jsonl'), header, values.fresh);
    for (const [name, model] of shelf.loaded) {
      await log.addModel(name, await fingerprintOf(model));
    }
    for (const file of bigramFiles(work.specs, models)) {
      const name = file === bundled.bigrams ? path.basename(file) : file;
      await log.addModel(`bigrams ${name}`, digestOf(await readFile(file)));
    }
    const { signal } = context;
    const progress = new SweepProgress(context, values.quiet, parts);
    await run({
      ...{ ...plan, parts, log, signal },
      onRun: (state) => progress.show(state),
    }).finally(() => progress.clear());
    return {
      header,
      points: pointsOf(methods, { ...plan, parts, log, references: data.references }),
    };
  } finally {
    await shelf.close();
  }
}

function methodModels(values: SweepValues, shelf: ModelShelf): MethodModels {
  return {
    target: shelf.target,
    defaultDraft: defaultDraft(values),
    defaultBigrams: impliedBy(targetSource(values)).bigrams,
    load: (source: string) => shelf.load(source),
  };
}

function defaultDraft(values: SweepValues): string | undefined {
  return values.draft ?? impliedBy(targetSource(values)).drafts[0];
}

/** All that figures depend on but the methods and their models, which the log names one by one. */
function headerOf(
  values: SweepValues,
  shelf: ModelShelf,
  { data, parts }: { data: Referenced; parts: number },
): RunHeader {
  const { target, targetName, prefix } = shelf;
  return {
    target: targetName,
    draft: values.draft ?? null,
    device: target.device,
    dtype: target.dtype,
    threads: values.threads ?? os.availableParallelism(),
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    texts: data.texts.length,
    textsAndReferences: `sha256 ${digestOf(JSON.stringify(data))}`,
    prefix,
    parts,
    batch: values.batch,
    maxNewTokens: values['max-new-tokens'],
    seed: String(values.seed ?? 0n),
  };
}

function digestOf(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex').slice(0, 16);
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause) => {
    throw ioError(`--out ${folder}`, cause);
  });
}

/** A line that is written over on a terminal; elsewhere one line per part, for logs. */
class SweepProgress {
  readonly #line: Progress;
  readonly #note: (line: string) => void;
  readonly #parts: number;
  #part = -1;

  constructor({ terminal }: Context, quiet: boolean, parts: number) {
    this.#line = new Progress(terminal, quiet);
    this.#parts = parts;
    this.#note = quiet || terminal.errIsTty ? () => {} : (line) => terminal.note(line);
  }

  show(state: { method: string; part: number; done: number; total: number }): void {
    const { method, part, done, total } = state;
    this.#line.show(() => `${done} of ${total} runs; part ${part + 1}: ${method}`);
    if (part === this.#part) return;
    this.#part = part;
    this.#note(`sweep: part ${part + 1} of ${this.#parts}, ${done} of ${total} runs done`);
  }

  clear(): void {
    this.#line.clear();
  }
}
