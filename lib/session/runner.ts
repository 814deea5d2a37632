/** Checked requests in, results out: one engine. */
import { SpeccascadeError } from '../errors.ts';
import { native, type NativeRule, type NativeSession } from '../native.ts';
import { AbortFanout } from './abort.ts';
import type { GenerateOptions, RequestSettings, SessionSettings } from './options.ts';
import { ResultBuilder, resultStats, type Result, type ResultStats } from './result.ts';
import { RunningOutput, RunningRequests, type OnEvent } from './running.ts';

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

/** One call's request, checked. */
export interface Prepared {
  index: number;
  inputIds: Int32Array;
  seeds: bigint[];
}

/** A call under way: one result per seed of each request, in order. */
export interface Begun {
  results: Promise<Result>[];
  cancel: () => void;
}

/** Per call, what the engine is not told. */
export type CallOptions = Pick<GenerateOptions, 'logprobs' | 'signal'>;

export interface Runner {
  /** Starts requests; a signal cancels them all. Throws ERR_ABORTED if it has fired already. */
  begin(
    requests: Prepared[],
    settings: RequestSettings,
    options: CallOptions,
    onEvent?: OnEvent,
  ): Begun;
  stats(): SessionStats;
  /** Aborts work under way and frees the memory. */
  close(): Promise<void>;
}

export class EngineRunner implements Runner {
  readonly #settings: SessionSettings;
  readonly #native: NativeSession;
  readonly #running = new RunningRequests();
  readonly #aborts = new AbortFanout();

  constructor(settings: SessionSettings) {
    this.#settings = settings;
    const { target, draft, defaults } = settings;
    this.#native = native.createSession(
      target.nativeModel(),
      draft.models.map((model) => model.nativeModel()),
      {
        draft: draft.native,
        maxBatch: settings.maxBatch,
        maxInputTokens: settings.maxInputTokens,
        maxNewTokens: defaults.maxNewTokens,
        maxPrefixTokens: settings.prefix.length,
      },
      (events) => this.#running.dispatch(events),
    );
  }

  begin(
    requests: Prepared[],
    settings: RequestSettings,
    options: CallOptions,
    onEvent?: OnEvent,
  ): Begun {
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

  stats(): SessionStats {
    const { totals, queued, active, steps, cacheBytes } = this.#native.stats();
    const { requests, tokens, ...counters } = totals;
    const { draft, defaults } = this.#settings;
    return {
      queued,
      active,
      steps,
      outputs: requests,
      tokens,
      totals: resultStats(counters, tokens, draft.drafters, defers(defaults.rule)),
      cacheBytes,
    };
  }

  close(): Promise<void> {
    return this.#native.close().then(() => this.#running.idle());
  }

  #submit(
    request: Prepared,
    settings: RequestSettings,
    options: CallOptions,
    onEvent?: OnEvent,
  ): { id: number; outputs: RunningOutput[] } {
    const { target, draft, prefix, eosTokens, verifier } = this.#settings;
    const logprobs = options.logprobs ?? false;
    const id = this.#native.submit({
      ...settings,
      inputIds: request.inputIds,
      prefix,
      eosTokens,
      seeds: BigUint64Array.from(request.seeds),
      logprobs,
      verifier,
    });
    const kind = { drafters: draft.drafters, logprobs, defers: defers(settings.rule) };
    const outputs = request.seeds.map(
      (seed) => new RunningOutput(new ResultBuilder(seed, target.tokenizer, kind), onEvent),
    );
    this.#running.add(id, outputs, options.signal);
    return { id, outputs };
  }
}

function defers({ kind }: NativeRule): boolean {
  return kind !== 'lossless' && kind !== 'lossy' && kind !== 'lossyMatched';
}
