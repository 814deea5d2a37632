/** Decode sessions: requests in, results or streams out, many at once. */
import { SpeccascadeError } from './errors.ts';
import { inputTokens, type Input } from './session/inputs.ts';
import {
  checkGenerateOptions,
  checkSessionOptions,
  type GenerateOptions,
  type RequestSettings,
  type SessionOptions,
  type SessionSettings,
} from './session/options.ts';
import type { Result } from './session/result.ts';
import { EngineRunner, type Prepared, type Runner } from './session/runner.ts';
import { deriveSeed, randomSeed } from './session/seeds.ts';
import { SequenceCascade } from './session/sequence-cascade.ts';
import type { SessionStats } from './session/stats.ts';
import { ChunkQueue, type StreamChunk } from './session/stream.ts';
import { checkInteger, inputError } from './validate.ts';

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
  readonly #runner: Runner;
  #closing: Promise<void> | undefined;

  /** Use createSession(). */
  constructor(settings: SessionSettings) {
    this.#settings = settings;
    const { cascade } = settings;
    this.#runner =
      cascade?.strategy === 'sequence-cascade'
        ? new SequenceCascade(settings, cascade)
        : new EngineRunner(settings);
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
    const { results } = this.#runner.begin([prepared as Prepared], settings, options);
    const all = await Promise.all(results);
    return options.numSamples === undefined ? all[0]! : all;
  }

  /**
   * As generate() of one input, where the queue has room; else it rejects at once with
   * ERR_QUEUE_FULL, whose `size` tells how many requests wait and `limit` how many may.
   */
  trySubmit(input: Input, options: GenerateOptions & { numSamples: number }): Promise<Result[]>;
  trySubmit(input: Input, options?: GenerateOptions): Promise<Result>;
  async trySubmit(input: Input, options: GenerateOptions = {}): Promise<Result | Result[]> {
    this.#checkOpen();
    if (isList(input)) throw inputError('input of trySubmit()', 'one input', input);
    this.#runner.checkRoom();
    const outcome: unknown = await this.generate(input as number[], options);
    return outcome as Result | Result[];
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
    const { results, cancel } = this.#runner.begin(
      [prepared as Prepared],
      settings,
      options,
      (event) => chunks.push(event),
    );
    try {
      yield* chunks.read(results[0]!);
    } finally {
      cancel();
    }
  }

  /** What it was created with, defaults filled in. Not part of the public surface. */
  get settings(): SessionSettings {
    return this.#settings;
  }

  /** Counters and gauges of the session. */
  stats(): SessionStats {
    return this.#runner.stats();
  }

  /** Aborts work under way and frees the session's memory. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#runner.close();
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
    const { results, cancel } = this.#runner.begin(sound, settings, options);
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
}

/** A list of inputs, as against the ids of one: [] is a list, [1, 2] are ids. */
function isList(input: Input | Input[]): input is Input[] {
  return Array.isArray(input) && typeof input[0] !== 'number';
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
