/** Checked requests in, results out: one engine. */
import type { SpeccascadeError } from '../errors.ts';
import type { T5Model } from '../model.ts';
import { native, type NativeEvent, type NativeSession } from '../native.ts';
import { aborts } from './abort.ts';
import { Admission, type Entrant } from './admission.ts';
import { toldTo, type Teller } from './failures.ts';
import type { GenerateOptions, RequestSettings, SessionSettings } from './options.ts';
import { Backlog } from './pace.ts';
import { ResultBuilder, type Result } from './result.ts';
import { RunningOutput, RunningRequests, type OnEvent } from './running.ts';
import { sessionStats, type SessionStats } from './stats.ts';

/** Events handed on together: more than any step of a usual batch brings. */
const portion = 256;

/** One call's request, checked. */
export interface Prepared {
  /** Which input of the call it is, as messages end: ' (inputs[2])', or '' for one alone. */
  place: string;
  inputIds: Int32Array;
  seeds: bigint[];
}

/** A call under way: one result per seed of each request, in order. */
export interface Begun {
  results: Promise<Result>[];
  cancel: () => void;
}

/** Per call, what the engine is not told. */
export type CallOptions = Pick<GenerateOptions, 'logprobs' | 'signal'> & {
  /** When the call was made, by performance.now(). */
  called: number;
};

export interface Runner {
  /** Starts requests; a signal cancels them all, also one that has fired already. */
  begin(
    requests: Prepared[],
    settings: RequestSettings,
    options: CallOptions,
    onEvent?: OnEvent,
  ): Begun;
  /** Throws ERR_QUEUE_FULL unless a request would be taken at once. */
  checkRoom(): void;
  stats(): SessionStats;
  /** Aborts work under way and frees the memory. */
  close(): Promise<void>;
}

/** A request of which the engine may know already. */
interface Submission extends Entrant {
  cancel(): void;
  outputs: RunningOutput[];
}

export class EngineRunner implements Runner {
  readonly #settings: SessionSettings;
  readonly #model: Teller['model'];
  readonly #native: NativeSession;
  readonly #models: ReturnType<T5Model['hold']>[];
  readonly #running = new RunningRequests((id) => this.#native.cancel(id));
  readonly #admission: Admission;
  /** Ends of outputs, of which very many may come at once. */
  readonly #ends = new Backlog();
  /** Portions of events in `#ends`, which later events must not overtake. */
  #held = 0;
  #refused = 0;
  #closed = false;

  /** `model`: what its target is to the session. */
  constructor(settings: SessionSettings, model: Teller['model'] = 'target') {
    this.#settings = settings;
    this.#model = model;
    const { target, draft, defaults, maxBatch, maxQueue } = settings;
    this.#admission = new Admission(this.#running, maxBatch, maxQueue);
    this.#native = native.createSession(
      target.nativeModel(),
      draft.models.map((model) => model.nativeModel()),
      {
        draft: draft.native,
        maxBatch,
        maxInputTokens: settings.maxInputTokens,
        maxNewTokens: defaults.maxNewTokens,
        maxPrefixTokens: settings.prefix.length,
        encoderTokensPerStep: settings.encoderTokensPerStep,
        followsLoad: settings.followsLoad,
        traversal: settings.verifier === 'traversal',
        reproducible: settings.reproducible,
      },
      (events) => this.#take(events.flatMap(bySample)),
    );
    this.#models = [target, ...draft.models].map((model) => model.hold());
  }

  begin(
    requests: Prepared[],
    settings: RequestSettings,
    options: CallOptions,
    onEvent?: OnEvent,
  ): Begun {
    const { signal } = options;
    const submitted = requests.map((request) =>
      this.#submission(request, settings, options, onEvent),
    );
    const cancel = (): void => submitted.forEach((submission) => submission.cancel());
    const results = submitted.flatMap(({ outputs }) => outputs.map(({ promise }) => promise));
    if (this.#closed || signal?.aborted) {
      cancel();
      return { results, cancel };
    }
    for (const submission of submitted) this.#admission.add(submission);
    if (signal !== undefined) aborts.watch(signal, cancel, Promise.allSettled(results));
    return { results, cancel };
  }

  checkRoom(): void {
    this.#admission.checkRoom();
  }

  stats(): SessionStats {
    const { maxBatch, maxQueue } = this.#settings;
    return sessionStats(this.#native.stats(), {
      pending: this.#admission.waiting,
      refused: this.#refused,
      queueLimit: maxQueue,
      slots: maxBatch,
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const entrant of this.#admission.clear()) (entrant as Submission).cancel();
    await this.#native.close();
    await this.#running.idle();
    await this.#ends.idle();
    for (const model of this.#models) model.release();
  }

  /** At once, unless it would take long: the event loop has its turns while very many end. */
  #take(events: NativeEvent[]): void {
    if (events.length <= portion && this.#held === 0) return this.#dispatch(events);
    for (let at = 0; at < events.length; at += portion) {
      this.#held += 1;
      this.#ends.add(() => {
        this.#held -= 1;
        this.#dispatch(events.slice(at, at + portion));
      });
    }
  }

  #dispatch(events: NativeEvent[]): void {
    this.#running.dispatch(events);
    this.#admission.drain();
  }

  #submission(
    request: Prepared,
    settings: RequestSettings,
    options: CallOptions,
    onEvent?: OnEvent,
  ): Submission {
    const { target, draft, prefix, eosTokens, verifier } = this.#settings;
    const { signal, logprobs = false, called } = options;
    const kind = { drafters: draft.drafters, logprobs };
    const teller = { place: request.place, model: this.#model };
    const told = (error: SpeccascadeError): SpeccascadeError => toldTo(teller, error);
    const outputs = request.seeds.map(
      (seed) => new RunningOutput(new ResultBuilder(seed, target.tokenizer, kind), told, onEvent),
    );
    let id: number | undefined;
    /** Ends without the engine. */
    let refused = false;
    const refuse = (error: SpeccascadeError | null): void => {
      this.#refused += outputs.length;
      for (const output of outputs) output.refuse(error, signal);
    };
    const submission: Submission = {
      outputs,
      enter: () => {
        try {
          id = this.#native.submit({
            ...settings,
            inputIds: request.inputIds,
            prefix,
            eosTokens,
            seeds: BigUint64Array.from(request.seeds),
            logprobs,
            byStep: onEvent !== undefined,
            verifier,
            waitedMs: performance.now() - called,
          });
          this.#running.add(id, outputs, signal);
        } catch (error) {
          refused = true;
          refuse(error as SpeccascadeError);
        }
      },
      cancel: () => {
        if (id !== undefined) return this.#native.cancel(id);
        if (refused) return;
        refused = true;
        this.#admission.leave(submission);
        this.#ends.add(() => refuse(null));
      },
    };
    return submission;
  }
}

/** What is told of several samples at once, of each. */
function bySample(event: NativeEvent): NativeEvent | NativeEvent[] {
  if (event.samples === 1) return event;
  const each = { length: event.samples };
  return Array.from(each, (_, i) => ({ ...event, sample: event.sample + i, samples: 1 }));
}
