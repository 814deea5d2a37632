/** Decode sessions: requests in, results or streams out, many at once. */
import { draftWidths } from './drafters.ts';
import { SpeccascadeError } from './errors.ts';
import { native, type NativeRule, type NativeSession } from './native.ts';
import { AbortFanout } from './session/abort.ts';
import { inputTokens, type Input } from './session/inputs.ts';
import {
  checkGenerateOptions,
  checkSessionOptions,
  type GenerateOptions,
  type RequestSettings,
  type SessionOptions,
  type SessionSettings,
} from './session/options.ts';
import { ResultBuilder, resultStats, type Result, type ResultStats } from './session/result.ts';
import { RunningOutput, RunningRequests, type OnEvent } from './session/running.ts';
import { deriveSeed, randomSeed } from './session/seeds.ts';
import { ChunkQueue, type StreamChunk } from './session/stream.ts';
import { checkInteger } from './validate.ts';

export interface SessionStats {
  /** Requests waiting for a slot. */
  queued: number;
  /** Sequences being decoded. */
  active: number;
  /** Target passes of the engine; each serves all active sequences. */
  steps: number;
  /** Outputs that have ended, in whatever way. */
  outputs: number;
  /** Tokens emitted. */
  tokens: number;
  /** Counters of the outputs that have ended, added up. */
  totals: ResultStats;
  /** Bytes planned for caches and work space. */
  cacheBytes: number;
}

/** One call's request, checked and ready to be handed to the engine. */
interface Prepared {
  index: number;
  inputIds: Int32Array;
  seeds: bigint[];
}

interface Submitted {
  id: number;
  outputs: RunningOutput[];
}

/**
 * Creates a session: takes the memory for `maxBatch` sequences and starts its engine. The models
 * stay usable for other sessions. Errors: ERR_INPUT, ERR_VOCAB_MISMATCH, ERR_DEVICE,
 * ERR_OUT_OF_MEMORY, ERR_CLOSED (a disposed model).
 */
export async function createSession(options: SessionOptions): Promise<DecodeSession> {
  // Synchronous today; awaiting keeps every failure a rejection.
  await Promise.resolve();
  return new DecodeSession(checkSessionOptions(options));
}

export class DecodeSession {
  readonly #settings: SessionSettings;
  readonly #native: NativeSession;
  readonly #running = new RunningRequests();
  readonly #aborts = new AbortFanout();
  #closing: Promise<void> | undefined;

  /** Use createSession(). */
  constructor(settings: SessionSettings) {
    this.#settings = settings;
    const { target, draft, defaults } = settings;
    this.#native = native.createSession(
      target.nativeModel(),
      draft === null ? null : draft.model.nativeModel(),
      {
        draftWidths: draftWidths(draft),
        draftReplacement: draft?.drafter === 'tree' && draft.replacement,
        maxBatch: settings.maxBatch,
        maxInputTokens: settings.maxInputTokens,
        maxNewTokens: defaults.maxNewTokens,
        maxPrefixTokens: settings.prefix.length,
      },
      (events) => this.#running.dispatch(events),
    );
  }

  /**
   * Decodes one input. With `numSamples`: a list of that many results.
   * Errors: ERR_INPUT, ERR_ABORTED (`cause`: the signal's reason, `partial`: the Result so far),
   * ERR_NUMERIC, ERR_CLOSED.
   */
  generate(input: Input, options: GenerateOptions & { numSamples: number }): Promise<Result[]>;
  generate(input: string | Int32Array, options?: GenerateOptions): Promise<Result>;
  generate(input: number[], options?: GenerateOptions): Promise<Result>;
  /**
   * Decodes many inputs as one batch; results in the order of the inputs, the `numSamples` results
   * of an input side by side; [] gives []. All inputs are checked before any work starts. A failing
   * request ends the call and rejects it with `index` and the `results` so far, unless `onError` is
   * 'return': then the error stands in the place of its result.
   */
  generate(
    inputs: (string | number[] | Int32Array)[],
    options?: GenerateOptions & { onError?: 'throw' },
  ): Promise<Result[]>;
  generate(
    inputs: (string | number[] | Int32Array)[],
    options: GenerateOptions,
  ): Promise<(Result | SpeccascadeError)[]>;
  async generate(
    input: Input | Input[],
    options: GenerateOptions = {},
  ): Promise<Result | (Result | SpeccascadeError)[]> {
    this.#checkOpen();
    const settings = checkGenerateOptions(options, this.#settings);
    if (isList(input)) return this.#generateMany(input, settings, options);
    const [prepared] = this.#prepare([input], settings, options, 'input');
    const { results } = this.#begin([prepared as Prepared], settings, options);
    const all = await Promise.all(results);
    return options.numSamples === undefined ? all[0]! : all;
  }

  /**
   * Decodes one input and yields each step's tokens as they come. Leaving the loop early aborts
   * the request. Errors as of generate(), thrown from the iteration.
   */
  async *stream(
    input: Input,
    options: GenerateOptions = {},
  ): AsyncGenerator<StreamChunk, void, undefined> {
    this.#checkOpen();
    const settings = checkGenerateOptions(options, this.#settings);
    checkInteger('numSamples of stream()', options.numSamples ?? 1, 1, 1);
    const [prepared] = this.#prepare([input], settings, options, 'input');
    const chunks = new ChunkQueue(this.#settings.target.tokenizer);
    const onEvent: OnEvent = (event) => chunks.push(event);
    const { results, cancel } = this.#begin([prepared as Prepared], settings, options, onEvent);
    try {
      yield* chunks.read(results[0]!);
    } finally {
      cancel();
    }
  }

  /** Counters and gauges of the session. */
  stats(): SessionStats {
    const { totals, queued, active, steps, cacheBytes } = this.#native.stats();
    const { requests, tokens, ...counters } = totals;
    const drafters = this.#settings.draft === null ? 0 : 1;
    return {
      queued,
      active,
      steps,
      outputs: requests,
      tokens,
      totals: resultStats(counters, tokens, drafters, defers(this.#settings.defaults.rule)),
      cacheBytes,
    };
  }

  /** Aborts work under way and frees the session's memory. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#native.close().then(() => this.#running.idle());
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(): void {
    if (this.#closing) throw new SpeccascadeError('ERR_CLOSED', 'the session is closed');
  }

  async #generateMany(
    inputs: Input[],
    settings: RequestSettings,
    options: GenerateOptions,
  ): Promise<(Result | SpeccascadeError)[]> {
    const prepared = this.#prepare(inputs, settings, options, 'inputs');
    const sound = prepared.filter(
      (request): request is Prepared => !(request instanceof SpeccascadeError),
    );
    const { results, cancel } = this.#begin(sound, settings, options);
    if (options.onError !== 'return') return allOrNothing(results, sampleCount(options), cancel);
    const settled = await Promise.allSettled(results);
    let next = 0;
    return prepared.flatMap((request) =>
      request instanceof SpeccascadeError
        ? Array.from({ length: sampleCount(options) }, () => request)
        : request.seeds.map(() => settledValue(settled[next++]!)),
    );
  }

  /** Checks all inputs of a call; a bad one throws, or stands in its place. */
  #prepare(
    inputs: Input[],
    settings: RequestSettings,
    options: GenerateOptions,
    name: 'input' | 'inputs',
  ): (Prepared | SpeccascadeError)[] {
    const samples = sampleCount(options);
    const seed = settings.seed ?? randomSeed();
    return inputs.map((input, index) => {
      const label = name === 'input' ? name : `inputs[${index}]`;
      try {
        const inputIds = inputTokens(label, input, this.#settings);
        const seeds = Array.from({ length: samples }, (_, sample) =>
          deriveSeed(seed, index * samples + sample),
        );
        return { index, inputIds, seeds };
      } catch (error) {
        if (!(error instanceof SpeccascadeError) || name === 'input') throw error;
        error.index = index;
        if (options.onError === 'return') return error;
        error.results = inputs.map(() => undefined);
        throw error;
      }
    });
  }

  /** Hands requests to the engine; a signal cancels them all. */
  #begin(
    requests: Prepared[],
    settings: RequestSettings,
    options: GenerateOptions,
    onEvent?: OnEvent,
  ): { results: Promise<Result>[]; cancel: () => void } {
    const { signal } = options;
    if (signal?.aborted) {
      throw new SpeccascadeError('ERR_ABORTED', 'the request was aborted before it began', {
        cause: signal.reason,
      });
    }
    const submitted = requests.map((request) => this.#submit(request, settings, options, onEvent));
    const cancel = (): void => submitted.forEach(({ id }) => this.#native.cancel(id));
    const results = submitted.flatMap(({ outputs }) => outputs.map(({ promise }) => promise));
    if (signal !== undefined) this.#aborts.watch(signal, cancel, Promise.allSettled(results));
    return { results, cancel };
  }

  #submit(
    request: Prepared,
    settings: RequestSettings,
    options: GenerateOptions,
    onEvent?: OnEvent,
  ): Submitted {
    const { target, draft, prefix, eosTokens } = this.#settings;
    const logprobs = options.logprobs ?? false;
    const id = this.#native.submit({
      ...settings,
      inputIds: request.inputIds,
      prefix,
      eosTokens,
      seeds: BigUint64Array.from(request.seeds),
      logprobs,
      block: this.#settings.block,
    });
    const drafters = draft === null ? 0 : 1;
    const outputs = request.seeds.map(
      (seed) =>
        new RunningOutput(
          new ResultBuilder(seed, target.tokenizer, {
            drafters,
            logprobs,
            defers: defers(settings.rule),
          }),
          onEvent,
        ),
    );
    this.#running.add(id, outputs, options.signal);
    return { id, outputs };
  }
}

/** A list of inputs, as against the ids of one: [] is a list, [1, 2] are ids. */
function isList(input: Input | Input[]): input is Input[] {
  return Array.isArray(input) && typeof input[0] !== 'number';
}

function defers({ kind }: NativeRule): boolean {
  return kind !== 'lossless' && kind !== 'lossy' && kind !== 'lossyMatched';
}

function sampleCount(options: GenerateOptions): number {
  return checkInteger('numSamples', options.numSamples ?? 1, 1, 2 ** 16);
}

function settledValue(outcome: PromiseSettledResult<Result>): Result | SpeccascadeError {
  if (outcome.status === 'fulfilled') return outcome.value;
  return outcome.reason as SpeccascadeError;
}

/** All results; or, at the first failure, cancels the rest and tells what there is so far. */
async function allOrNothing(
  results: Promise<Result>[],
  samples: number,
  cancel: () => void,
): Promise<Result[]> {
  try {
    return await Promise.all(results);
  } catch (reason) {
    const error = reason as SpeccascadeError;
    cancel();
    const settled = await Promise.allSettled(results);
    const failed = settled.findIndex(
      (outcome) => outcome.status === 'rejected' && outcome.reason === error,
    );
    error.index = Math.floor(failed / samples);
    error.results = settled.map((outcome) =>
      outcome.status === 'fulfilled' ? outcome.value : undefined,
    );
    throw error;
  }
}
