/** Decode sessions: requests in, results or streams out, many at once. */
import { SpeccascadeError } from './errors.ts';
import type { Input } from './session/inputs.ts';
import { allOrNothing, generateList } from './session/list-call.ts';
import {
  checkGenerateOptions,
  checkSessionOptions,
  givenOptions,
  type GenerateOptions,
  type RequestSettings,
  type SessionOptions,
  type SessionSettings,
} from './session/options.ts';
import { preparation, type Preparation } from './session/prepare.ts';
import type { Result } from './session/result.ts';
import { EngineRunner, type Runner } from './session/runner.ts';
import { SequenceCascade } from './session/sequence-cascade.ts';
import type { SessionStats } from './session/stats.ts';
import { ChunkQueue, type StreamChunk } from './session/stream.ts';
import { inputError } from './validate.ts';

/**
 * Creates a session: takes the memory for `maxBatch` sequences and starts its engine. The models
 * stay usable for other sessions. Errors: ERR_INPUT, ERR_VOCAB_MISMATCH, ERR_DEVICE,
 * ERR_OUT_OF_MEMORY, ERR_CLOSED (a disposed model).
 */
export async function createSession(options: SessionOptions): Promise<DecodeSession> {
  // Synchronous today; awaiting keeps every failure a rejection.
  await Promise.resolve();
  return DecodeSession.open(checkSessionOptions(options));
}

export class DecodeSession {
  readonly #settings: SessionSettings;
  readonly #runner: Runner;
  readonly #closes = new AbortController();
  #closing: Promise<void> | undefined;

  private constructor(settings: SessionSettings) {
    this.#settings = settings;
    const { cascade } = settings;
    this.#runner =
      cascade?.strategy === 'sequence-cascade'
        ? new SequenceCascade(settings, cascade)
        : new EngineRunner(settings);
  }

  /** @internal Behind createSession(). */
  static open(settings: SessionSettings): DecodeSession {
    return new DecodeSession(settings);
  }

  /**
   * Decodes one input. With `numSamples`: a list of that many results; where the type of `options`
   * leaves that open, either. `[]` is an empty list. Errors: ERR_INPUT, ERR_ABORTED (`cause`: the
   * signal's reason, `partial`: the Result so far), ERR_NUMERIC, ERR_CLOSED.
   */
  generate(input: Input, options: GenerateOptions & { numSamples: number }): Promise<Result[]>;
  generate(inputs: readonly [], options?: GenerateOptions): Promise<Result[]>;
  generate(input: Input, options?: GenerateOptions & { numSamples?: undefined }): Promise<Result>;
  generate(input: Input, options: GenerateOptions): Promise<Result | Result[]>;
  /**
   * Decodes many inputs as one batch; results in the order of the inputs, the `numSamples` results
   * of an input side by side; [] gives []. All inputs are checked before any work starts; of a long
   * list that takes several turns of the event loop. A failing request ends the call and rejects it
   * with `index` and the `results` so far, unless `onError` is 'return': then the error, with its
   * `index`, stands in the place of its result.
   */
  generate(
    inputs: readonly Input[],
    options?: GenerateOptions & { onError?: 'throw' | undefined },
  ): Promise<Result[]>;
  generate(
    inputs: readonly Input[],
    options: GenerateOptions,
  ): Promise<(Result | SpeccascadeError)[]>;
  async generate(
    input: Input | readonly Input[],
    options: GenerateOptions = {},
  ): Promise<Result | (Result | SpeccascadeError)[]> {
    this.checkOpen();
    const given = { ...givenOptions(options), called: performance.now() };
    const settings = checkGenerateOptions(given, this.#settings);
    const preparation = this.#preparation(settings, given);
    if (isList(input)) {
      return generateList(input, { runner: this.#runner, preparation, settings, options: given });
    }
    const request = preparation.prepare('input', input, 0);
    const { results, cancel } = this.#runner.begin([request], settings, given);
    if (given.numSamples === undefined) return results[0]!;
    return allOrNothing(results, results.length, cancel);
  }

  /**
   * As generate() of one input, where the queue has room; else it rejects at once with
   * ERR_QUEUE_FULL, whose `size` tells how many requests have not begun and `limit` how many may
   * wait beyond those that free slots take.
   */
  trySubmit(input: Input, options: GenerateOptions & { numSamples: number }): Promise<Result[]>;
  trySubmit(input: Input, options?: GenerateOptions & { numSamples?: undefined }): Promise<Result>;
  trySubmit(input: Input, options: GenerateOptions): Promise<Result | Result[]>;
  async trySubmit(input: Input, options: GenerateOptions = {}): Promise<Result | Result[]> {
    this.checkOpen();
    if (isList(input)) throw inputError('input of trySubmit()', 'one input', input);
    this.#runner.checkRoom();
    return this.generate(input, options);
  }

  /**
   * Decodes one input and yields each step's tokens as they come. Leaving the loop early aborts
   * the request. Errors as of generate(), thrown from the iteration.
   */
  stream(
    input: Input,
    options: GenerateOptions = {},
  ): AsyncGenerator<StreamChunk, void, undefined> {
    const request = { left: false, cancel: (): void => undefined };
    const chunks = this.#chunks(input, options, request);
    // A generator that waits for a chunk would learn only then that nobody wants it any more.
    const leave = chunks.return.bind(chunks);
    chunks.return = (value) => {
      request.left = true;
      request.cancel();
      return leave(value);
    };
    return chunks;
  }

  async *#chunks(
    input: Input,
    options: GenerateOptions,
    own: { left: boolean; cancel: () => void },
  ): AsyncGenerator<StreamChunk, void, undefined> {
    this.checkOpen();
    if (isList(input)) throw inputError('input of stream()', 'one input', input);
    const given = { ...givenOptions(options), called: performance.now() };
    const settings = checkGenerateOptions(given, this.#settings);
    if ((given.numSamples ?? 1) !== 1) {
      throw inputError('numSamples of stream()', '1', given.numSamples);
    }
    const request = this.#preparation(settings, given).prepare('input', input, 0);
    const chunks = new ChunkQueue(this.#settings.target.tokenizer);
    const { results, cancel } = this.#runner.begin([request], settings, given, (event) =>
      chunks.push(event),
    );
    own.cancel = cancel;
    try {
      yield* chunks.read(results[0]!, given.signal);
    } catch (error) {
      if (!own.left) throw error;
    } finally {
      cancel();
    }
  }

  /** @internal What it was created with, defaults filled in. */
  get settings(): SessionSettings {
    return this.#settings;
  }

  /** @internal Fires when it is closed: for those who wait for something else meanwhile. */
  get closes(): AbortSignal {
    return this.#closes.signal;
  }

  /** Counters and gauges of the session. */
  stats(): SessionStats {
    return this.#runner.stats();
  }

  /** Aborts work under way and frees the session's memory. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#runner.close();
    this.#closes.abort();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal Throws ERR_CLOSED. */
  checkOpen(): void {
    if (this.#closing) throw new SpeccascadeError('ERR_CLOSED', 'the session is closed');
  }

  #preparation(settings: RequestSettings, options: GenerateOptions): Preparation {
    const isOver = (): boolean => this.#closing !== undefined || options.signal?.aborted === true;
    return preparation(this.#settings, settings, options, isOver);
  }
}

/** A list of inputs, as against the ids of one: [] is a list, [1, 2] are ids. */
function isList(input: Input | readonly Input[]): input is readonly Input[] {
  return Array.isArray(input) && typeof input[0] !== 'number';
}
