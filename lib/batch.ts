/** Batch jobs: JSON lines in, JSON lines out, in order, whatever happens in between. */
import { inOrder, inFlightPerSlot } from './batch/in-order.ts';
import { InputHash } from './batch/input-hash.ts';
import { openInput, type BatchInput } from './batch/input.ts';
import { describeJob } from './batch/job.ts';
import { checkBatchOptions, type BatchOptions, type BatchSettings } from './batch/options.ts';
import { inPlace, longestFirst, type Placed } from './batch/order.ts';
import { FileOutput, StreamOutput, type JobOutput } from './batch/output.ts';
import {
  isRecordFailure,
  outputLine,
  readRecord,
  type BatchRecord,
  type Outcome,
} from './batch/record.ts';
import { SpeccascadeError } from './errors.ts';
import { deriveSeed } from './session/seeds.ts';

/** Records among which those of similar length are looked for, per slot of the session. */
const windowPerSlot = 16;

export interface BatchSummary {
  /** Lines of the output. */
  records: number;
  /** Those that hold an error. */
  failed: number;
  /** Those that earlier runs of the job had written. */
  resumed: number;
  /** Tokens generated, by earlier runs too. */
  tokens: number;
}

/**
 * Decodes a file or stream of records into a file, one line for each, in the order of the input. A
 * record that cannot be decoded gives a line with `error: { code, message }`, and the job goes on.
 * Memory does not grow with the input. However often a job is interrupted and resumed, its output
 * has the same bytes as if it had not been.
 *
 * Errors, after which the job can be resumed: ERR_INPUT (an option; an output that exists; a resumed
 * job that is not the same, with the first difference), ERR_IO (a file, its failure), ERR_ABORTED
 * (`cause`: the signal's reason), and what ends a session: ERR_CLOSED, ERR_OUT_OF_MEMORY, ERR_DEVICE.
 */
export async function runBatch(options: BatchOptions): Promise<BatchSummary> {
  const settings = checkBatchOptions(options);
  const stop = new AbortController();
  const { signal: callers, session } = settings;
  const signal = AbortSignal.any([stop.signal, session.closes, ...(callers ? [callers] : [])]);
  const input = await openInput(settings.input, signal);
  try {
    const output = await openOutput(settings, input);
    return await new BatchRun(settings, { input, output, signal, stop }).run();
  } finally {
    stop.abort();
    input.close();
  }
}

async function openOutput(settings: BatchSettings, input: BatchInput): Promise<JobOutput> {
  if (settings.output === '-') return new StreamOutput(process.stdout);
  const job = await describeJob(settings, input.bytes);
  // Opening empties an output that is to be overwritten.
  if (settings.signal?.aborted) throw aborted(settings.signal, 'before it began');
  return FileOutput.open(settings, job);
}

function aborted(signal: AbortSignal, when: string): SpeccascadeError {
  const cause: unknown = signal.reason;
  return new SpeccascadeError('ERR_ABORTED', `the job was aborted ${when}`, { cause });
}

interface Parts {
  input: BatchInput;
  output: JobOutput;
  /** Fires when the caller's does, when the session closes, and at the end of the job. */
  signal: AbortSignal;
  stop: AbortController;
}

class BatchRun {
  readonly #settings: BatchSettings;
  readonly #input: BatchInput;
  readonly #output: JobOutput;
  readonly #signal: AbortSignal;
  readonly #stop: AbortController;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #summary: BatchSummary;
  /** Of all records, whosever shard they are in. */
  readonly #inputHash = new InputHash();
  /** Bytes of the text whose lines are written. */
  #textDone = 0;
  #tested = 0;
  #accepted = 0;

  constructor(settings: BatchSettings, { input, output, signal, stop }: Parts) {
    this.#settings = settings;
    this.#input = input;
    this.#output = output;
    this.#signal = signal;
    this.#stop = stop;
    const { records, failed, tokens } = output.before;
    this.#summary = { records, failed, resumed: records, tokens };
  }

  async run(): Promise<BatchSummary> {
    try {
      this.#report();
      await this.#writeAll();
    } catch (error) {
      // Nothing of this job decodes on in a session that others may use.
      this.#stop.abort();
      await Promise.allSettled(this.#underWay);
      // What ended the job is to be told; without this checkpoint the one before it stands.
      await this.#output.close(null).catch(() => {});
      throw this.#reasonOf(error);
    }
    await this.#output.close(this.#inputHash.value);
    return this.#summary;
  }

  /** Whose doing it was that work ended early. */
  #reasonOf(error: unknown): unknown {
    const { signal, session } = this.#settings;
    const when = `after ${this.#summary.records} records`;
    if (signal?.aborted) return aborted(signal, when);
    const isEarly = error instanceof SpeccascadeError && error.code === 'ERR_ABORTED';
    if (!isEarly || !session.closes.aborted) return error;
    return new SpeccascadeError('ERR_CLOSED', `the session was closed ${when}`);
  }

  async #writeAll(): Promise<void> {
    for await (const outcome of this.#outcomes()) {
      const failed = 'error' in outcome;
      const tokens = failed ? 0 : outcome.result.tokens.length;
      const { source, textBytes } = outcome.record;
      await this.#output.write({
        line: outputLine(outcome, this.#settings),
        source,
        failed,
        tokens,
      });
      this.#textDone = textBytes;
      this.#count(outcome, tokens);
      this.#report();
    }
  }

  /** In the order of the records. */
  #outcomes(): AsyncIterable<Outcome> {
    const { session, orderByLength } = this.#settings;
    const { maxBatch } = session.settings;
    const limit = maxBatch * inFlightPerSlot;
    const records = this.#records();
    if (!orderByLength) return inOrder(records, limit, (record) => this.#decode(record));
    const sorted = longestFirst(records, maxBatch * windowPerSlot, inputLength);
    return inPlace(
      inOrder(sorted, limit, async ({ item, ...where }): Promise<Placed<Outcome>> => {
        return { item: await this.#decode(item), ...where };
      }),
    );
  }

  /**
   * Those of this job's shard that are not done yet. A finished job has none: its input is read all
   * the same, to see that it is the one.
   */
  async *#records(): AsyncGenerator<BatchRecord, void, undefined> {
    const { shard } = this.#settings;
    const { records: done, inputSha256 } = this.#output.before;
    let position = -1;
    let textBytes = 0;
    let own = 0;
    for await (const source of this.#input.records) {
      position += 1;
      this.#inputHash.add(source);
      textBytes += source instanceof SpeccascadeError ? 0 : source.length + 1;
      if (position % shard.count !== shard.index - 1) continue;
      own += 1;
      if (own > done) {
        const problem = `goes on after the job's ${done} records`;
        if (this.#output.complete) throw this.#otherInput(problem);
        yield readRecord(source, { position, textBytes }, this.#settings);
      } else {
        this.#output.skip(source);
        const isLast = own === done;
        if (isLast && this.#output.inputSha256 !== inputSha256) throw this.#otherRecords(done);
      }
    }
    if (own < done) throw this.#otherRecords(done);
  }

  #otherRecords(done: number): SpeccascadeError {
    const problem = `its first ${done} records are not those that the job was begun with`;
    return this.#otherInput(problem);
  }

  #otherInput(problem: string): SpeccascadeError {
    return new SpeccascadeError('ERR_INPUT', `${this.#input.name}: ${problem}`);
  }

  async #decode(record: BatchRecord): Promise<Outcome> {
    const { request, position } = record;
    if (request instanceof SpeccascadeError) return { record, error: request };
    const { session, seed } = this.#settings;
    const own = { seed: deriveSeed(seed, position), ...request.options, signal: this.#signal };
    const result = session.generate(request.input, { ...own, numSamples: undefined });
    this.#underWay.add(result);
    try {
      return { record, result: await result };
    } catch (error) {
      if (!isRecordFailure(error)) throw error;
      return { record, error };
    } finally {
      this.#underWay.delete(result);
    }
  }

  #count(outcome: Outcome, tokens: number): void {
    this.#summary.records += 1;
    this.#summary.tokens += tokens;
    if ('error' in outcome) {
      this.#summary.failed += 1;
    } else {
      this.#tested += outcome.result.stats.tested;
      this.#accepted += outcome.result.stats.accepted;
    }
  }

  #report(): void {
    const { bytes } = this.#input;
    const counters = { tested: this.#tested, accepted: this.#accepted };
    const bytesRead = this.#input.bytesOf(this.#textDone);
    this.#settings.onProgress({ ...this.#summary, ...counters, bytesRead, bytes });
  }
}

/** Characters or ids: enough to tell long from short without a second tokenisation. */
function inputLength({ request }: BatchRecord): number {
  return request instanceof SpeccascadeError ? 0 : request.input.length;
}
