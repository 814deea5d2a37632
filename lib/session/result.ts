/** What a request gives back, built up from the engine's events. */
import type { NativeEvent, NativeFinish, NativeStats } from '../native.ts';
import type { Tokenizer } from '../tokenizer.ts';

export interface ResultStats {
  /** Passes of the target that this output took part in. */
  targetCalls: number;
  /** Passes of each drafter, Max-Gram's proposals last; empty without one. */
  draftCalls: number[];
  /**
   * Drafted tokens. proposed = accepted + rejected + never reached, where a position at which all
   * candidates were refused counts as one rejected.
   */
  proposed: number;
  /** Positions that verification tested: accepted ones, and where it stopped, if it stopped early. */
  tested: number;
  accepted: number;
  /** accepted / tested; 0 if nothing was tested. */
  acceptanceRate: number;
  /** Tokens per target call. */
  blockEfficiency: number;
  /**
   * Share of tested positions at which a position rule deferred to the target; for token rules the
   * mean of the drafter's mass off the trusted tokens. Of a token cascade: of all positions; of a
   * sequence cascade: 1 where the target answered. null for lossless and lossy, which do not defer,
   * and where no position was decided on.
   */
  deferralRate: number | null;
  /** Wall-clock milliseconds of the encoder pass (shared by the inputs encoded together). */
  encodeMs: number;
  /** Wall-clock milliseconds of the steps it took part in (shared by the batch). */
  decodeMs: number;
}

export interface Result {
  /** null where the target has no tokenizer. */
  text: string | null;
  /** Without the start token and the prefix; with the end token if it was produced. */
  tokens: number[];
  finishReason: NativeFinish;
  /**
   * With `logprobs`: natural-logarithm probability of each token by the target's own softmax at
   * temperature 1, before suppression and filters; equal to T5Model.score.
   */
  logprobs?: Float32Array;
  /** Given as `seed` to a call of its own, it gives this result again. */
  seed: bigint;
  stats: ResultStats;
}

/** Collects the events of one output. */
export class ResultBuilder {
  readonly tokens: number[] = [];
  readonly #logprobs: number[] = [];
  readonly #seed: bigint;
  readonly #tokenizer: Tokenizer | null;
  readonly #drafters: number;
  readonly #wantsLogprobs: boolean;
  readonly #defers: boolean;

  constructor(
    seed: bigint,
    tokenizer: Tokenizer | null,
    options: { drafters: number; logprobs: boolean; defers: boolean },
  ) {
    this.#seed = seed;
    this.#tokenizer = tokenizer;
    this.#drafters = options.drafters;
    this.#wantsLogprobs = options.logprobs;
    this.#defers = options.defers;
  }

  add(event: NativeEvent): void {
    this.tokens.push(...event.tokens);
    if (event.logprobs !== null) this.#logprobs.push(...event.logprobs);
  }

  build(finishReason: NativeFinish, stats: NativeStats | null): Result {
    const result: Result = {
      text: this.#tokenizer === null ? null : this.#tokenizer.decode(this.tokens),
      tokens: [...this.tokens],
      finishReason,
      seed: this.#seed,
      stats: resultStats(stats, this.tokens.length, this.#drafters, this.#defers),
    };
    if (this.#wantsLogprobs) result.logprobs = Float32Array.from(this.#logprobs);
    return result;
  }
}

export function resultStats(
  counters: NativeStats | null,
  tokens: number,
  drafters: number,
  defers: boolean,
): ResultStats {
  const { decided, deferred, ...totals } = counters ?? emptyStats(drafters);
  const deferral = defers ? { decided, deferred } : { decided: 0, deferred: 0 };
  return finishStats({ ...totals, ...deferral }, tokens);
}

export function emptyStats(drafters: number): NativeStats {
  return {
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

/** Adds the counters of an output that one decision was made of. */
export function addStats(totals: NativeStats, stats: ResultStats, deferred: boolean): void {
  for (const key of ['targetCalls', 'proposed', 'tested', 'accepted'] as const) {
    totals[key] += stats[key];
  }
  totals.encodeMs += stats.encodeMs;
  totals.decodeMs += stats.decodeMs;
  stats.draftCalls.forEach((calls, i) => (totals.draftCalls[i]! += calls));
  totals.decided++;
  totals.deferred += deferred ? 1 : 0;
}

/** Counters with the ratios made of them. */
export function finishStats(counters: NativeStats, tokens: number): ResultStats {
  const { decided, deferred, ...rest } = counters;
  return {
    ...rest,
    draftCalls: [...rest.draftCalls],
    acceptanceRate: rest.tested > 0 ? rest.accepted / rest.tested : 0,
    blockEfficiency: rest.targetCalls > 0 ? tokens / rest.targetCalls : 0,
    deferralRate: decided > 0 ? deferred / decided : null,
  };
}
