/** What a request gives back: types alone, so that errors can carry it. */

export interface ResultStats {
  /** Passes of the target that this output took part in. */
  targetCalls: number;
  /**
   * Passes of each drafter that drafted, Max-Gram's proposals last; empty without one. Passes in which
   * one only caught up with output made without it (adaptive lengths, those by load) do not count.
   */
  draftCalls: number[];
  /**
   * Drafted tokens. proposed = accepted + rejected + never reached, where a position at which all
   * candidates were refused counts as one rejected.
   */
  proposed: number;
  /** Positions that verification tested: accepted ones, and where it stopped, if it stopped early. */
  tested: number;
  /** Drafted tokens that verification accepted, all of them emitted. */
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
  /** 'aborted' in the `partial` of errors only. */
  finishReason: 'eos' | 'length' | 'stop' | 'aborted';
  /**
   * With `logprobs`: natural-logarithm probability of each token by the target's own softmax at
   * temperature 1, before suppression and filters; equal to T5Model.score. What a sequence cascade
   * computes for them of an answer that it keeps is no part of `stats`.
   */
  logprobs?: Float32Array;
  /** Given as `seed` to a call of its own, it gives this result again. */
  seed: bigint;
  stats: ResultStats;
}
