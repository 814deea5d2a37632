/**
 * The sequence-level cascade: the small model answers, the large one is asked where the answer's
 * score is low. Without speculation, a baseline: the large model begins anew, its encoder included.
 */
import { SpeccascadeError } from '../errors.ts';
import type { T5Model } from '../model.ts';
import type { NativeEvent } from '../native.ts';
import { quantile } from '../quantile.ts';
import { lossless, nativeRule } from '../rules.ts';
import { queueFull } from './admission.ts';
import type { CascadeSettings } from './cascade-options.ts';
import { noDraft } from './draft-plan.ts';
import { notFinite } from './failures.ts';
import { OneByOne } from './one-by-one.ts';
import type { RequestSettings, SessionSettings } from './options.ts';
import { addStats, emptyStats, finishStats, type Result, type ResultStats } from './result.ts';
import { abortCause, emptyEvent, type OnEvent } from './running.ts';
import {
  EngineRunner,
  type Begun,
  type CallOptions,
  type Prepared,
  type Runner,
} from './runner.ts';
import { smallModelSeed } from './seeds.ts';
import { addedStats, CountedTimes, perSecond, type SessionStats } from './stats.ts';

/** What the inputs of one call have in common. */
interface Call {
  settings: RequestSettings;
  options: CallOptions;
  onEvent: OnEvent | undefined;
  /** Ends the requests begun so far. */
  cancels: (() => void)[];
  cancelled: boolean;
}

/** The small model's answer, and whether it is the output. */
interface Answer {
  answer: Result;
  kept: boolean;
}

export class SequenceCascade implements Runner {
  readonly #cascade: CascadeSettings;
  readonly #prefix: Int32Array;
  readonly #small: EngineRunner;
  readonly #large: EngineRunner;
  /** Scores what the small model has said. */
  readonly #target: ReturnType<T5Model['hold']>;
  readonly #totals = emptyStats(1);
  readonly #keptTimes: CountedTimes;
  readonly #running = new Set<Promise<unknown>>();
  /** Not all at once: they take threads that the whole process shares. */
  readonly #scores = new OneByOne();
  readonly #maxQueue: number;
  #closed = false;
  #outputs = 0;

  constructor(settings: SessionSettings, cascade: CascadeSettings) {
    this.#cascade = cascade;
    this.#prefix = settings.prefix;
    this.#maxQueue = settings.maxQueue;
    const alone = { ...settings, draft: noDraft, verifier: 'token' as const };
    this.#small = new EngineRunner({ ...alone, target: cascade.draft.model }, 'drafter');
    try {
      this.#large = new EngineRunner(alone);
      this.#target = settings.target.hold();
    } catch (error) {
      void this.#small.close(); // nobody else could
      throw error;
    }
    this.#keptTimes = new CountedTimes(this.#large.stats().timeToFirstToken.boundsMs);
  }

  begin(
    requests: Prepared[],
    settings: RequestSettings,
    options: CallOptions,
    onEvent?: OnEvent,
  ): Begun {
    const own = { ...settings, rule: nativeRule(lossless()), confidenceStop: 0 };
    const drawn = requests.map((request) => ({
      ...request,
      seeds: request.seeds.map(smallModelSeed),
    }));
    const small = this.#small.begin(drawn, own, { ...options, logprobs: true });
    const call: Call = {
      settings: own,
      options,
      onEvent,
      cancels: [small.cancel],
      cancelled: false,
    };
    let at = 0;
    const results = requests.flatMap((request) =>
      this.#decide(request, small.results.slice(at, (at += request.seeds.length)), call),
    );
    for (const result of results) this.#follow(result);
    const cancel = (): void => {
      call.cancelled = true;
      for (const one of call.cancels) one();
    };
    return { results, cancel };
  }

  /** The small model's answers go on to the large one's queue, or to their scores. */
  checkRoom(): void {
    this.#small.checkRoom();
    this.#large.checkRoom();
    const { waiting } = this.#scores;
    if (waiting > this.#maxQueue)
      throw queueFull(waiting, this.#maxQueue, 'have no log-probabilities');
  }

  /**
   * Of both engines together, each with slots of its own. Of outputs that were aborted `tokens` and
   * `totals` hold what there was; those that failed count in `outputs` alone.
   */
  stats(): SessionStats {
    const both = addedStats(this.#small.stats(), this.#large.stats(), this.#keptTimes);
    return {
      ...both,
      queued: both.queued + this.#scores.waiting,
      outputs: this.#outputs,
      tokens: this.#totals.tokens,
      tokensPerSecond: perSecond(this.#totals.tokens, both.encodeMs + both.decodeMs),
      totals: finishStats(this.#totals),
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#small.close(), this.#large.close()]);
    await Promise.allSettled(this.#running); // scores are computed outside the engines
    this.#target.release();
  }

  /** The outputs of one input: the small model's answers, or the target's. */
  #decide(request: Prepared, answers: Promise<Result>[], call: Call): Promise<Result>[] {
    const judged = answers.map((answer, i) => this.#judge(answer, request.seeds[i]!));
    const asked = this.#askTarget(request, judged, call);
    return judged.map(async (judging, i) => {
      const { answer, kept } = await judging;
      if (kept) return this.#keep(request, answer, call);
      const own = (await asked).get(i)!;
      return deferredResult(
        answer,
        await own.catch(withPartial((partial) => deferredResult(answer, partial))),
      );
    });
  }

  /** Results have the output's `seed`, whatever the small model drew from. */
  async #judge(answering: Promise<Result>, seed: bigint): Promise<Answer> {
    const answer = await answering.catch(
      withPartial((partial) => unansweredResult({ ...partial, seed })),
    );
    const kept = sequenceScore(answer.logprobs!, this.#cascade) >= this.#cascade.threshold;
    return { answer: { ...answer, seed }, kept };
  }

  /**
   * By the sample's place, the target's answers in place of those that were refused: asked for when
   * the small model has answered every sample of the input, so that they share one encoder pass.
   */
  async #askTarget(
    request: Prepared,
    judged: Promise<Answer>[],
    call: Call,
  ): Promise<Map<number, Promise<Result>>> {
    const settled = await Promise.allSettled(judged);
    const refused = settled.flatMap((one, i) =>
      one.status === 'fulfilled' && !one.value.kept ? [i] : [],
    );
    if (refused.length === 0) return new Map();
    const own = { ...request, seeds: refused.map((i) => request.seeds[i]!) };
    const large = this.#large.begin([own], call.settings, call.options, call.onEvent);
    call.cancels.push(large.cancel);
    if (call.cancelled) large.cancel();
    return new Map(refused.map((i, at) => [i, large.results[at]!]));
  }

  async #keep(request: Prepared, answer: Result, call: Call): Promise<Result> {
    const { options, onEvent } = call;
    const kept = keptResult(answer);
    if (options.logprobs === true) {
      kept.logprobs = await this.#scores.run(async () => {
        this.#checkWanted(kept, call);
        return this.#score(request, answer.tokens).catch((error: SpeccascadeError) => {
          throw error.code === 'ERR_NUMERIC' ? notFinite('target', request.place) : error;
        });
      });
      this.#checkWanted(kept, call);
    }
    this.#keptTimes.add(performance.now() - options.called);
    onEvent?.(wholeEvent(kept));
    return kept;
  }

  /** Throws unless the call still waits for its output. */
  #checkWanted(kept: Result, { options: { signal }, cancelled }: Call): void {
    if (!this.#closed && !cancelled && signal?.aborted !== true) return;
    const partial: Result = { ...kept, finishReason: 'aborted' };
    const { message, cause } = abortCause(signal);
    throw new SpeccascadeError('ERR_ABORTED', message, { cause, partial });
  }

  /** The target's own log-probabilities of what the small model has said. */
  async #score({ inputIds }: Prepared, tokens: readonly number[]): Promise<Float32Array> {
    const [start = 0, ...said] = this.#prefix;
    const output = Int32Array.from([...said, ...tokens]);
    const lengths = [inputIds, output].map((ids) => Int32Array.of(ids.length));
    const scores = await this.#target.native.score(
      inputIds,
      lengths[0]!,
      output,
      lengths[1]!,
      start,
    );
    return scores.slice(said.length);
  }

  /** Counts an output when it ends; marks its rejection as handled, as handlers may come later. */
  #follow(result: Promise<Result>): void {
    const ended = (whole: Result | undefined): void => {
      this.#running.delete(result);
      this.#count(whole);
    };
    this.#running.add(result);
    result.then(ended, (error: SpeccascadeError) => ended(error.partial));
  }

  /** An output that has ended, with what there is of it. */
  #count(result: Result | undefined): void {
    this.#outputs++;
    if (result !== undefined) addStats(this.#totals, result);
  }
}

/** Of an answer's log-probabilities, token by token; an empty answer is sure. */
export function sequenceScore(
  logprobs: Float32Array,
  { score, quantile: share }: Pick<CascadeSettings, 'score' | 'quantile'>,
): number {
  const sum = logprobs.reduce((total, logprob) => total + logprob, 0);
  switch (score) {
    case 'probability':
      return Math.exp(sum);
    case 'chow-sum':
      return sum;
    case 'mean-logprob':
      return logprobs.length === 0 ? 0 : sum / logprobs.length;
    case 'quantile':
      return logprobs.length === 0 ? 0 : quantile(logprobs.toSorted(), share);
  }
}

/** Rethrows an error with what there is so far as a result of both models. */
function withPartial(both: (partial: Result) => Result): (error: SpeccascadeError) => never {
  return (error) => {
    if (error.partial !== undefined) error.partial = both(error.partial);
    throw error;
  };
}

/** The small model's tokens are the drafts: all of them accepted, or all rejected. */
function keptResult(answer: Result): Result {
  const tokens = answer.tokens.length;
  const decided = { tested: tokens, accepted: tokens, acceptanceRate: tokens > 0 ? 1 : 0 };
  return draftedResult(answer, { ...decided, deferralRate: 0 });
}

/** What the small model had said when it was stopped: no decision has been made on it. */
function unansweredResult(partial: Result): Result {
  const undecided = { tested: 0, accepted: 0, acceptanceRate: 0 };
  return draftedResult(partial, { ...undecided, deferralRate: null });
}

type Decision = Pick<ResultStats, 'tested' | 'accepted' | 'acceptanceRate' | 'deferralRate'>;

/** Without the small model's log-probabilities, which are not what results have. */
function draftedResult(answer: Result, decision: Decision): Result {
  const { targetCalls, encodeMs, decodeMs } = answer.stats;
  const calls = { targetCalls: 0, draftCalls: [targetCalls], proposed: answer.tokens.length };
  const stats = { ...calls, ...decision, blockEfficiency: 0, encodeMs, decodeMs };
  const { text, tokens, finishReason, seed } = answer;
  return { text, tokens, finishReason, seed, stats };
}

function deferredResult(answer: Result, large: Result): Result {
  const tokens = answer.tokens.length;
  const stats = {
    ...large.stats,
    ...{ draftCalls: [answer.stats.targetCalls], proposed: tokens, tested: tokens },
    deferralRate: 1,
    encodeMs: answer.stats.encodeMs + large.stats.encodeMs,
    decodeMs: answer.stats.decodeMs + large.stats.decodeMs,
  };
  return { ...large, stats };
}

/** An answer as the event of one step. */
function wholeEvent(answer: Result): NativeEvent {
  return {
    ...emptyEvent,
    tokens: Int32Array.from(answer.tokens),
    accepted: answer.tokens.length,
    finish: answer.finishReason,
  };
}
