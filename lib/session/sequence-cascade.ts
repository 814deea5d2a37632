/**
 * The sequence-level cascade: the small model answers, the large one is asked where the answer's
 * score is low. Without speculation, a baseline: the large model begins anew, its encoder included.
 */
import type { SpeccascadeError } from '../errors.ts';
import type { NativeEvent } from '../native.ts';
import { lossless, nativeRule } from '../rules.ts';
import type { CascadeSettings } from './cascade-options.ts';
import { noDraft } from './draft-plan.ts';
import type { RequestSettings, SessionSettings } from './options.ts';
import { addStats, emptyStats, finishStats, type Result, type ResultStats } from './result.ts';
import type { OnEvent } from './running.ts';
import {
  EngineRunner,
  type Begun,
  type CallOptions,
  type Prepared,
  type Runner,
} from './runner.ts';
import { smallModelSeed } from './seeds.ts';
import { addedStats, perSecond, type SessionStats } from './stats.ts';

export class SequenceCascade implements Runner {
  readonly #cascade: CascadeSettings;
  readonly #small: EngineRunner;
  readonly #large: EngineRunner;
  readonly #totals = emptyStats(1);
  #outputs = 0;
  #tokens = 0;

  constructor(settings: SessionSettings, cascade: CascadeSettings) {
    this.#cascade = cascade;
    const alone = { ...settings, draft: noDraft, verifier: 'token' as const };
    this.#small = new EngineRunner({ ...alone, target: cascade.draft.model });
    try {
      this.#large = new EngineRunner(alone);
    } catch (error) {
      void this.#small.close(); // nobody else could
      throw error;
    }
  }

  begin(
    requests: Prepared[],
    settings: RequestSettings,
    options: CallOptions,
    onEvent?: OnEvent,
  ): Begun {
    const cancels: (() => void)[] = [];
    let cancelled = false;
    const own = { ...settings, rule: nativeRule(lossless()), confidenceStop: 0 };
    const drawn = requests.map(({ inputIds, seeds }) => ({
      inputIds,
      seeds: seeds.map(smallModelSeed),
    }));
    const small = this.#small.begin(drawn, own, { ...options, logprobs: true });
    cancels.push(small.cancel);
    const askLarge = (request: Prepared, seed: bigint): Promise<Result> => {
      const large = this.#large.begin([{ ...request, seeds: [seed] }], own, options, onEvent);
      cancels.push(large.cancel);
      if (cancelled) large.cancel();
      return large.results[0]!;
    };
    const places = requests.flatMap((request) => request.seeds.map((seed) => ({ request, seed })));
    const logprobs = options.logprobs ?? false;
    const results = places.map(async ({ request, seed }, i) => {
      // Results have the output's seed, whatever the small model drew from.
      const answer = await small.results[i]!.catch(
        withPartial((partial) => unansweredResult({ ...partial, seed }, logprobs)),
      );
      if (sequenceScore(answer.logprobs!, this.#cascade) >= this.#cascade.threshold) {
        onEvent?.(wholeEvent(answer));
        return keptResult({ ...answer, seed }, logprobs);
      }
      const large = askLarge(request, seed);
      const own = await large.catch(withPartial((partial) => deferredResult(answer, partial)));
      return deferredResult(answer, own);
    });
    for (const result of results) {
      // Marks the rejection as handled, too; callers may attach their handlers later.
      result.then(
        (whole) => this.#count(whole),
        (error: SpeccascadeError) => this.#count(error.partial),
      );
    }
    const cancel = (): void => {
      cancelled = true;
      for (const one of cancels) one();
    };
    return { results, cancel };
  }

  /** The large engine's queue is fed by the small one alone. */
  checkRoom(): void {
    this.#small.checkRoom();
  }

  /**
   * Of both engines together, each with slots of its own. Of outputs that were aborted `tokens` and
   * `totals` hold what there was; those that failed count in `outputs` alone.
   */
  stats(): SessionStats {
    const both = addedStats(this.#small.stats(), this.#large.stats());
    return {
      ...both,
      outputs: this.#outputs,
      tokens: this.#tokens,
      tokensPerSecond: perSecond(this.#tokens, both.encodeMs + both.decodeMs),
      totals: finishStats(this.#totals, this.#tokens),
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.#small.close(), this.#large.close()]);
  }

  /** An output that has ended, with what there is of it. */
  #count(result: Result | undefined): void {
    this.#outputs++;
    if (result === undefined) return;
    this.#tokens += result.tokens.length;
    addStats(this.#totals, result.stats);
  }
}

/** Of an answer's log-probabilities, token by token; an empty answer is sure. */
export function sequenceScore(
  logprobs: Float32Array,
  { score, quantile }: Pick<CascadeSettings, 'score' | 'quantile'>,
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
      return quantileOf(logprobs, quantile);
  }
}

/** Linear between the sorted values, as numpy's default. */
function quantileOf(values: Float32Array, quantile: number): number {
  if (values.length === 0) return 0;
  const sorted = Float64Array.from(values).sort();
  const at = quantile * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  const high = sorted[Math.ceil(at)]!;
  return low + (high - low) * (at - Math.floor(at));
}

/** Rethrows an error with what there is so far as a result of both models. */
function withPartial(both: (partial: Result) => Result): (error: SpeccascadeError) => never {
  return (error) => {
    if (error.partial !== undefined) error.partial = both(error.partial);
    throw error;
  };
}

/** The small model's tokens are the drafts: all of them accepted, or all rejected. */
function keptResult(answer: Result, logprobs: boolean): Result {
  const tokens = answer.tokens.length;
  const decided = { tested: tokens, accepted: tokens, acceptanceRate: tokens > 0 ? 1 : 0 };
  return draftedResult(answer, logprobs, { ...decided, deferralRate: 0 });
}

/** What the small model had said when it was stopped: no decision has been made on it. */
function unansweredResult(partial: Result, logprobs: boolean): Result {
  const undecided = { tested: 0, accepted: 0, acceptanceRate: 0 };
  return draftedResult(partial, logprobs, { ...undecided, deferralRate: null });
}

type Decision = Pick<ResultStats, 'tested' | 'accepted' | 'acceptanceRate' | 'deferralRate'>;

function draftedResult(answer: Result, logprobs: boolean, decision: Decision): Result {
  const { targetCalls, encodeMs, decodeMs } = answer.stats;
  const calls = { targetCalls: 0, draftCalls: [targetCalls], proposed: answer.tokens.length };
  const stats = { ...calls, ...decision, blockEfficiency: 0, encodeMs, decodeMs };
  const { logprobs: own, ...rest } = answer;
  return { ...rest, ...(logprobs && own ? { logprobs: own } : {}), stats };
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
    ...{ request: 0, sample: 0, stats: null, error: null, logprobs: null },
    tokens: Int32Array.from(answer.tokens),
    accepted: answer.tokens.length,
    finish: answer.finishReason,
  };
}
