/** Rules and the low-level part of the native surface: types alone; native.ts loads it. */

type PositionKind = 'chow' | 'diff' | 'opt';
type TokenKind = 'tokenV1' | 'tokenV2' | 'tokenV3';

/** A deferral rule; `alpha` is BiLD's rollback, `beta` counts for lossy alone. */
export interface NativeRule {
  kind: 'lossless' | 'lossy' | 'lossyMatched' | `${PositionKind}${'' | 'Log'}` | TokenKind | 'bild';
  alpha: number;
  beta: number;
}

/** Rows, one after another: float32 takes the engine's arithmetic, float64 the same code in double. */
export type NativeRows = Float32Array | Float64Array;

/** How rows become what tokens are drawn from; `probabilities`: they are these, not logits. */
export interface NativeScaling {
  temperature: number;
  topK: number;
  topP: number;
  probabilities: boolean;
}

/** Rows of both models at the same places, [places, vocabulary] each. */
export interface NativePlaces {
  rule: NativeRule;
  scaling: NativeScaling;
  vocabulary: number;
  target: NativeRows;
  /** null: nothing reads the drafter. */
  drafter: NativeRows | null;
}

/** How siblings were chosen: drawn with or without replacement, without chance, from given rows. */
export type NativeSiblings = 'with' | 'without' | 'fixed' | 'given';

/** One verification step: place 0 follows the prefix, place n + 1 follows node n. */
export interface NativeStep extends NativePlaces {
  parents: Int32Array;
  tokens: Int32Array;
  /** [nodes + 1] 0: no drafter row there; null: all are there. */
  drafterRows: Uint8Array | null;
  /** [nodes, vocabulary] what each token was drawn from, for siblings 'given'. */
  proposals: NativeRows | null;
  siblings: NativeSiblings;
  verifier: 'chain' | 'block' | 'tree' | 'traversal';
  stopTokens: Int32Array;
  /** [nodes + 1] one per node, the last for the final draw; null: counters of this address. */
  uniforms: Float64Array | null;
  seed: bigint;
  request: number;
  position: number;
  step: number;
}

/** Of one operation: milliseconds; bytes of its operands; two flops per multiply-add. */
export interface NativeTimes {
  msMedian: number;
  msMin: number;
  bytes: number;
  flops: number;
}

/** Single operations, on the CPU if nothing else is said, and formulas; undefined numbers are NaN. */
export interface NativeLowlevel {
  target(args: NativePlaces): NativeRows;
  verify(args: NativeStep): { accepted: Int32Array; next: number; deferral: Float32Array };
  /** One position by the kernels of a GPU, cuda:`device`; with unscaled rows none is scaled. */
  devicePosition(
    args: NativePlaces & {
      device: number;
      target: Float32Array;
      drafter: Float32Array | null;
      drafterUnscaled?: Float32Array | null;
      targetUnscaled?: Float32Array | null;
    },
  ): { target: Float32Array; pi: Float32Array; deferral: number };
  /** verify() in float by a GPU's kernels; ERR_DEVICE for what they take no part in. */
  deviceVerify(args: NativeStep & { device: number }): {
    accepted: Int32Array;
    next: number;
    deferral: Float32Array;
  };
  expectation(args: { name: string; args: Float64Array }): number;
  /**
   * Sizes of `shape` are those that native/ops/bench_op.h names for `op`, and `threads`. `gpu`: its
   * index, or -1 for the CPU.
   */
  bench(args: {
    op: string;
    shape: Record<string, number>;
    dtype: string;
    repeats: number;
    gpu: number;
  }): NativeTimes;
}
