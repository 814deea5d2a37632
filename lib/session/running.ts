/** Requests under way: which events belong to which, and how each output ends. */
import { SpeccascadeError } from '../errors.ts';
import type { NativeEvent } from '../native.ts';
import { type ResultBuilder, type Result } from './result.ts';

/** Called with each event of one output, before its end is acted upon. */
export type OnEvent = (event: NativeEvent) => void;

const ignore = (): void => {};

/** One output under way. */
export class RunningOutput {
  readonly promise: Promise<Result>;
  readonly #builder: ResultBuilder;
  readonly #told: (error: SpeccascadeError) => SpeccascadeError;
  readonly #onEvent: OnEvent | undefined;
  /** Whether an event has come that was not its end. */
  begun = false;
  /** Whether an event could not be taken: rejected for that, it waits for its end alone. */
  failed = false;
  #resolve!: (result: Result) => void;
  #reject!: (error: SpeccascadeError) => void;

  /** `told`: an error of the engine's in the caller's words. */
  constructor(
    builder: ResultBuilder,
    told: (error: SpeccascadeError) => SpeccascadeError,
    onEvent?: OnEvent,
  ) {
    this.#builder = builder;
    this.#told = told;
    this.#onEvent = onEvent;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Marks the rejection as handled; callers may attach their handlers later.
    this.promise.catch(ignore);
  }

  /**
   * True when the output has ended. `abortCause`: why it may have been aborted. What is thrown
   * meanwhile, by the tokenizer for instance, rejects this output and is no other's affair.
   */
  accept(event: NativeEvent, abortCause: () => { message: string; cause: unknown }): boolean {
    try {
      if (!this.failed) this.#take(event, abortCause);
    } catch (error) {
      this.failed = true;
      this.#reject(error as SpeccascadeError);
    }
    return event.error !== null || event.finish !== null;
  }

  /** Ends an output that the engine was never given. */
  refuse(error: SpeccascadeError | null, signal: AbortSignal | undefined): void {
    this.accept({ ...emptyEvent, error, finish: error ? null : 'aborted' }, () =>
      abortCause(signal),
    );
  }

  #take(event: NativeEvent, abortCause: () => { message: string; cause: unknown }): void {
    this.#builder.add(event);
    this.#onEvent?.(event);
    if (event.error !== null) {
      this.#reject(this.#told(event.error));
    } else if (event.finish === 'aborted') {
      const { message, cause } = abortCause();
      const partial = this.#builder.build('aborted', event.stats);
      this.#reject(new SpeccascadeError('ERR_ABORTED', message, { cause, partial }));
    } else if (event.finish !== null) {
      this.#resolve(this.#builder.build(event.finish, event.stats));
    }
  }
}

/** An event that brings nothing and ends nothing. */
export const emptyEvent: NativeEvent = {
  ...{ request: 0, sample: 0, samples: 1, accepted: 0 },
  ...{ logprobs: null, finish: null, stats: null, error: null },
  tokens: new Int32Array(0),
};

interface RunningRequest {
  outputs: RunningOutput[];
  open: number;
  begun: boolean;
  signal: AbortSignal | undefined;
}

/** The requests of one session, by the engine's id. */
export class RunningRequests {
  readonly #byId = new Map<number, RunningRequest>();
  readonly #cancel: (id: number) => void;
  #idle: (() => void)[] = [];
  #queued = 0;
  #running = 0;

  /** `cancel`: asks the engine to end a request of which nobody waits for an output any more. */
  constructor(cancel: (id: number) => void) {
    this.#cancel = cancel;
  }

  /** Requests of which no output has begun. */
  get queued(): number {
    return this.#queued;
  }

  /** Outputs that have begun and not ended. */
  get running(): number {
    return this.#running;
  }

  add(id: number, outputs: RunningOutput[], signal: AbortSignal | undefined): void {
    this.#byId.set(id, { outputs, open: outputs.length, begun: false, signal });
    this.#queued += 1;
  }

  /** Hands events to the outputs they belong to. */
  dispatch(events: NativeEvent[]): void {
    for (const event of events) {
      const request = this.#byId.get(event.request);
      const output = request?.outputs[event.sample];
      if (request === undefined || output === undefined) continue;
      if (!request.begun) this.#queued -= 1;
      request.begun = true;
      const ended = output.accept(event, () => abortCause(request.signal));
      this.#running += (ended ? 0 : 1) - (output.begun ? 1 : 0);
      output.begun = true;
      if (!ended) {
        if (request.outputs.every(({ failed }) => failed)) this.#cancel(event.request);
        continue;
      }
      request.open -= 1;
      if (request.open === 0) this.#byId.delete(event.request);
    }
    if (this.#byId.size === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** Resolves when no request is under way. */
  idle(): Promise<void> {
    if (this.#byId.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }
}

export function abortCause(signal: AbortSignal | undefined): { message: string; cause: unknown } {
  return signal?.aborted
    ? { message: 'the request was aborted', cause: signal.reason }
    : { message: 'the session was closed or the call ended', cause: undefined };
}
