/** speccascade generate: texts in, decoded texts out. */
import { inFlightPerSlot, inOrder } from '../batch/in-order.ts';
import type { DecodeSession } from '../session.ts';
import { defineCommand, type Context } from './command.ts';
import type { Decoder, Outcome } from './decode.ts';
import { generateOptions, type GenerateValues } from './generate-options.ts';
import { openLines, type LineSource } from './lines.ts';
import { checkBigrams, wantedModels } from './draft-options.ts';
import { loadModels, type Models } from './models.ts';
import { UsageError } from './options.ts';
import { Progress } from './progress.ts';
import { checkMethod, openSession } from './session.ts';
import { Statistics } from './statistics.ts';
import { dim } from './terminal.ts';
import { legend, type Marks } from './trace.ts';
import { jsonLines, lineFailure, LiveView, plainLines } from './views.ts';

export const generate = defineCommand({
  name: 'generate',
  summary: 'decode texts, by default translate English captions to German',
  operands: '[TEXT...]',
  operandCount: { min: 0, max: Infinity },
  about:
    'Decodes each TEXT (quote it), or each line of --input or of standard input. On a terminal ' +
    'tokens are shown as they come. Otherwise texts are decoded in batches and each gives one ' +
    'line, in order; line ends inside an output become spaces. An empty line gives an empty ' +
    'line. A line that fails is reported on standard error and gives an empty line; the exit ' +
    'code is then 1.\n\n' +
    'A line of statistics goes to standard error. Without options the bundled models translate ' +
    'English captions to German.',
  options: generateOptions,
  examples: [
    'speccascade generate "A man in an orange hat is standing on a street."',
    'speccascade generate --trace --input captions.txt --limit 5',
    'head -20 captions.txt | speccascade generate --json > captions.jsonl',
    'speccascade generate --target google/flan-t5-base --draft google/flan-t5-small "..."',
  ],
  async run(values, texts, context) {
    checkTogether(values, texts);
    await checkBigrams(values);
    const source = await openLines({ texts, file: values.input, limit: values.limit }, context);
    try {
      const models = await loadModels(values, context, values.quiet, wantedModels(values));
      const live = context.terminal.outIsTty && !values.json;
      await using session = await openSession(values, models, live ? 1 : values.batch);
      return await decodeAll({ values, models, session, source, context, live });
    } finally {
      source.close();
    }
  },
});

interface Run {
  values: GenerateValues;
  models: Models;
  session: DecodeSession;
  source: LineSource;
  context: Context;
  /** Someone watches the tokens come. */
  live: boolean;
}

/** What the table of options cannot say: which options exclude each other. */
function checkTogether(values: GenerateValues, texts: string[]): void {
  checkMethod(values);
  if (texts.length > 0 && values.input !== undefined) {
    throw new UsageError('TEXT and --input exclude each other');
  }
  if (values.logprobs && !values.json) throw new UsageError('--logprobs needs --json');
}

async function decodeAll(run: Run): Promise<number> {
  const { values, models, session, source, context } = run;
  const { Decoder } = await import('./decode.ts');
  const statistics = new Statistics();
  const decoder = new Decoder({
    session,
    tokenizer: models.target.tokenizer,
    prefix: models.prefix,
    statistics,
    signal: context.signal,
    seed: values.seed,
    samples: values['num-samples'],
    steps: values.trace,
    logprobs: values.logprobs,
  });
  const tally = new Tally(context, values.quiet || source.onScreen);
  const conclude = (): void => {
    tally.finish();
    if (values.quiet || statistics.outputs === 0) return;
    const { terminal } = context;
    terminal.note(dim(statistics.line(drafterName(run) !== null), terminal.errColours));
  };
  try {
    await (run.live ? showLive(run, decoder, tally) : writeLines(run, decoder, tally, statistics));
  } catch (error) {
    if (context.signal.aborted) {
      if (source.onScreen) context.terminal.note(''); // the terminal has just shown ^C
      conclude();
    }
    throw error;
  }
  conclude();
  return tally.failed ? 1 : 0;
}

/** One output after the other, token by token. */
async function showLive(run: Run, decoder: Decoder, tally: Tally): Promise<void> {
  const { values, models, source, context } = run;
  const { terminal } = context;
  const colours = terminal.outColours ? 'colours' : 'brackets';
  const marks = values.trace ? colours : 'none';
  explain(run, marks);
  const view = new LiveView(terminal, models.target.tokenizer, marks);
  try {
    for await (const line of source.lines) {
      if (line.text.trim() !== '' && !source.onScreen) await view.source(line);
      const outcome = await decoder.follow(line, (step, done) => view.step(step, done));
      await view.leave();
      tally.take(outcome);
    }
  } finally {
    await view.leave();
  }
}

/** Many requests at a time, their outputs in the order of the lines. */
async function writeLines(
  run: Run,
  decoder: Decoder,
  tally: Tally,
  statistics: Statistics,
): Promise<void> {
  const { values, models, source, context } = run;
  const { trace, json } = values;
  if (trace && !json) explain(run, 'brackets');
  const progress = new Progress(context.terminal, values.quiet || context.terminal.outIsTty);
  const view = { tokenizer: models.target.tokenizer, samples: values['num-samples'], trace };
  const limit = values.batch * inFlightPerSlot;
  try {
    for await (const outcome of inOrder(source.lines, limit, (line) => decoder.decode(line))) {
      if ('error' in outcome) progress.clear();
      tally.take(outcome);
      await context.terminal.write(json ? jsonLines(outcome) : plainLines(outcome, view));
      progress.show(() => statistics.brief());
    }
  } finally {
    progress.clear();
  }
}

/** null: the target decodes alone. */
function drafterName({ values, models }: Run): string | null {
  return models.names.draft ?? (values['max-gram'] ? 'Max-Gram' : null);
}

function explain(run: Run, marks: Marks): void {
  const { values } = run;
  const { terminal } = run.context;
  if (!values.trace || values.quiet) return;
  terminal.note(legend(marks, drafterName(run), terminal.errColours));
}

/** Reports failed lines as they come, and counts the empty ones. */
class Tally {
  readonly #context: Context;
  /** Nothing is said of empty lines. */
  readonly #quiet: boolean;
  #empty = 0;
  failed = false;

  constructor(context: Context, quiet: boolean) {
    this.#context = context;
    this.#quiet = quiet;
  }

  take(outcome: Outcome): void {
    if ('empty' in outcome) this.#empty += 1;
    if (!('error' in outcome)) return;
    this.failed = true;
    this.#context.terminal.note(lineFailure(outcome.line, outcome.error));
  }

  finish(): void {
    if (this.#empty === 0 || this.#quiet) return;
    const lines = this.#empty === 1 ? '1 empty line' : `${this.#empty} empty lines`;
    this.#context.terminal.note(`warning: ${lines} not decoded`);
  }
}
