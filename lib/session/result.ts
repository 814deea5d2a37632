/** What a request gives back, built up from the engine's events. */
import type { NativeEvent, NativeFinish, NativeStats } from '../native.ts';
import type { Result, ResultStats } from '../result.ts';
import type { Tokenizer } from '../tokenizer.ts';

export type { Result, ResultStats };

/** Collects the events of one output. */
export class ResultBuilder {
  readonly tokens: number[] = [];
  readonly #logprobs: number[] = [];
  readonly #seed: bigint;
  readonly #tokenizer: Tokenizer | null;
  readonly #drafters: number;
  readonly #wantsLogprobs: boolean;

  constructor(
    seed: bigint,
    tokenizer: Tokenizer | null,
    options: { drafters: number; logprobs: boolean },
  ) {
    this.#seed = seed;
    this.#tokenizer = tokenizer;
    this.#drafters = options.drafters;
    this.#wantsLogprobs = options.logprobs;
  }

  add(event: NativeEvent): void {
    // An event may bring a whole output: too many to be arguments of one call.
    for (const token of event.tokens) this.tokens.push(token);
    for (const logprob of event.logprobs ?? []) this.#logprobs.push(logprob);
  }

  build(finishReason: NativeFinish, stats: NativeStats | null): Result {
    const result: Result = {
      text: this.#tokenizer === null ? null : this.#tokenizer.decode(this.tokens),
      tokens: [...this.tokens],
      finishReason,
      seed: this.#seed,
      stats: finishStats(stats ?? emptyStats(this.#drafters)),
    };
    if (this.#wantsLogprobs) result.logprobs = Float32Array.from(this.#logprobs);
    return result;
  }
}

export function emptyStats(drafters: number): NativeStats {
  return {
    tokens: 0,
    targetCalls: 0,
    draftCalls: new Array<number>(drafters).fill(0),
    proposed: 0,
    tested: 0,
    accepted: 0,
    decided: 0,
    deferred: 0,
    encodeMs: 0,
    decodeMs: 0,
  };
}

/** Adds the counters of an output about which one decision was made, or none yet. */
export function addStats(totals: NativeStats, { tokens, stats }: Result): void {
  totals.tokens += tokens.length;
  for (const key of ['targetCalls', 'proposed', 'tested', 'accepted'] as const) {
    totals[key] += stats[key];
  }
  totals.encodeMs += stats.encodeMs;
  totals.decodeMs += stats.decodeMs;
  stats.draftCalls.forEach((calls, i) => (totals.draftCalls[i]! += calls));
  totals.decided += stats.deferralRate === null ? 0 : 1;
  totals.deferred += stats.deferralRate ?? 0;
}

/** Counters with the ratios made of them. */
export function finishStats(counters: NativeStats): ResultStats {
  const { tokens, targetCalls, draftCalls, proposed, tested, accepted, encodeMs, decodeMs } =
    counters;
  const { decided, deferred } = counters;
  // Field by field: objects made by spreading are slow, and there is one for every output.
  return {
    targetCalls,
    draftCalls: [...draftCalls],
    proposed,
    tested,
    accepted,
    encodeMs,
    decodeMs,
    acceptanceRate: tested > 0 ? accepted / tested : 0,
    blockEfficiency: targetCalls > 0 ? tokens / targetCalls : 0,
    deferralRate: decided > 0 ? deferred / decided : null,
  };
}
