/** What a request gives back, built up from the engine's events. */
import type { NativeEvent, NativeFinish, NativeStats } from '../native.ts';
import type { Tokenizer } from '../tokenizer.ts';

export interface ResultStats {
  /** Passes of the target that this output took part in. */
  targetCalls: number;
  /** Passes of each drafter; empty without one. */
  draftCalls: number[];
  /** Drafted tokens. */
  proposed: number;
  /** Of these, looked at by verification: accepted or rejected. */
  tested: number;
  accepted: number;
  /** accepted / tested; 0 if nothing was tested. */
  acceptanceRate: number;
  /** Tokens per target call. */
  blockEfficiency: number;
  /**
   * Share of tested positions at which a position rule deferred to the target; for token rules the
   * mean of the drafter's mass off the trusted tokens. null for lossless and lossy, which do not
   * defer, and where nothing was tested.
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

const noStats: NativeStats = {
  targetCalls: 0,
  draftCalls: 0,
  proposed: 0,
  tested: 0,
  accepted: 0,
  deferred: 0,
  encodeMs: 0,
  decodeMs: 0,
};

export function resultStats(
  counters: NativeStats | null,
  tokens: number,
  drafters: number,
  defers: boolean,
): ResultStats {
  const { draftCalls, deferred, ...rest } = counters ?? noStats;
  return {
    ...rest,
    draftCalls: drafters > 0 ? [draftCalls] : [],
    acceptanceRate: rest.tested > 0 ? rest.accepted / rest.tested : 0,
    blockEfficiency: rest.targetCalls > 0 ? tokens / rest.targetCalls : 0,
    deferralRate: defers && rest.tested > 0 ? deferred / rest.tested : null,
  };
}
