/** speccascade batch: JSON lines in, JSON lines out, as a job that can be interrupted. */
import type { BatchSummary } from '../batch.ts';
import { readJobFile } from '../batch/job-file.ts';
import type { BatchOptions, BatchProgress } from '../batch/options.ts';
import { checkPlaces } from '../batch/places.ts';
import { SpeccascadeError, type ErrorCode } from '../errors.ts';
import { batchOptions, checkOutputOptions, shardOf, type BatchValues } from './batch-options.ts';
import { BatchView } from './batch-progress.ts';
import { defineCommand, type Context } from './command.ts';
import { checkBigrams, wantedModels } from './draft-options.ts';
import { loadModels, type Models } from './models.ts';
import { checkMethod, openSession } from './session.ts';
import { dim } from './terminal.ts';

export const batch = defineCommand({
  name: 'batch',
  summary: 'decode a file of JSON lines, as a job that can be interrupted and resumed',
  operands: '[INPUT]',
  operandCount: { min: 0, max: 1 },
  about:
    'Decodes the records of INPUT (a file, compressed if its name ends in .gz or .zst; without it, ' +
    'or as -, standard input): JSON objects, one per line, with a text or token ids in "text", ' +
    'and an "id" and "options" (such as {"maxNewTokens": 40}) if they like. Each gives one line of ' +
    'output, in order: id, text, numTokens, finishReason; or an error, and the job goes on; the ' +
    'exit code is then 1.\n\n' +
    'An interrupted job is resumed with --resume, killed or out of disk space though it was, and ' +
    'its output has the same bytes as if it had not been. Beside the output lies FILE.job.json, ' +
    'which says how far the job is and what it depends on.',
  options: batchOptions,
  examples: [
    'speccascade batch texts.jsonl --output translations.jsonl --resume',
    'speccascade batch texts.jsonl.gz --output out.jsonl.gz --max-batch 32',
    'speccascade batch texts.jsonl --shard 2/4 --output part2.jsonl',
    'zcat texts.jsonl.gz | speccascade batch --temperature 0.8 --seed 7 > out.jsonl',
  ],
  async run(values, [input = '-'], context) {
    checkMethod(values);
    const shard = shardOf(values);
    checkOutputOptions(values);
    const { resume, overwrite, output = '-' } = values;
    await checkPlaces({ input, output, resume, overwrite });
    await checkBigrams(values);
    const models = await loadModels(values, context, values.quiet, wantedModels(values));
    await using session = await openSession(values, models, values['max-batch']);
    return await runJob(
      { ...jobOptionsOf(values, models, input), session, shard },
      values,
      context,
    );
  },
});

function jobOptionsOf(
  values: BatchValues,
  { prefix }: Models,
  input: string,
): Omit<BatchOptions, 'session'> {
  return {
    input,
    output: values.output ?? '-',
    field: values.field,
    prefix,
    seed: values.seed ?? 0n,
    ...(values.tokens ? { tokens: true } : {}),
    counters: values.counters,
    resume: values.resume,
    overwrite: values.overwrite,
    orderByLength: values['order-by-length'],
    checkpointSeconds: values['checkpoint-seconds'],
  };
}

async function runJob(
  options: BatchOptions,
  values: BatchValues,
  context: Context,
): Promise<number> {
  const { runBatch } = await import('../batch.ts');
  const { terminal, signal } = context;
  const view = new BatchView(terminal, values.quiet);
  let last: BatchProgress | undefined;
  const onProgress = (progress: BatchProgress): void => {
    last = progress;
    view.show(progress);
  };
  try {
    const summary = await runBatch({ ...options, signal, onProgress });
    view.clear();
    if (!values.quiet) report(summary, view.done(last!), values.json, context);
    return summary.failed > 0 ? 1 : 0;
  } catch (error) {
    view.clear();
    if (outputClosed(error)) return 1;
    const begun = last !== undefined && options.output !== '-';
    if (begun && isPassing(error)) await adviseToResume(options.output, context);
    throw error;
  }
}

/** Failures of the machine, and signals. What is wrong with a job itself no resuming cures. */
const passing: readonly ErrorCode[] = ['ERR_ABORTED', 'ERR_IO', 'ERR_DEVICE', 'ERR_OUT_OF_MEMORY'];

function isPassing(error: unknown): boolean {
  return error instanceof SpeccascadeError && passing.includes(error.code);
}

/** Nothing is said where the checkpoint cannot be read. */
async function adviseToResume(output: string, { terminal }: Context): Promise<void> {
  const checkpoint = await readJobFile(output).catch(() => null);
  if (checkpoint === null) return;
  terminal.note(`${checkpoint.done.records} records are in ${output}; --resume goes on`);
}

function report(
  summary: BatchSummary,
  { seconds, tokens }: { seconds: number; tokens: number },
  json: boolean,
  { terminal }: Context,
): void {
  const rate = seconds > 0 ? tokens / seconds : 0;
  if (json) {
    terminal.note(JSON.stringify({ ...summary, seconds, tokensPerSecond: rate }));
    return;
  }
  const { records, failed, resumed } = summary;
  const parts = [`${records} records`];
  if (resumed > 0) parts.push(`${resumed} of them by earlier runs`);
  if (failed > 0) parts.push(`${failed} failed: see their "error"`);
  parts.push(`${tokens} tokens in ${seconds.toFixed(2)} s (${rate.toFixed(0)} tokens/s)`);
  terminal.note(dim(parts.join(' | '), terminal.errColours));
}

/**
 * The reader of standard output has left (`| head`). Nothing to tell, but unlike other commands this
 * one says by its exit code whether every record was decoded.
 */
function outputClosed(error: unknown): boolean {
  if (!(error instanceof SpeccascadeError)) return false;
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED';
}
