/**
 * The whole native surface, typed on one page. This is the only file that
 * loads the addon; everything below is plain data in, plain data out.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { SpeccascadeError } from './errors.ts';

/** Element types a published tensor may have. */
export type TensorDtype = 'F32' | 'F16' | 'BF16';

/** One tensor of a checkpoint: row-major elements at [begin, end) bytes of `files[file]`. */
export interface NativeTensor {
  name: string;
  file: number;
  dtype: TensorDtype;
  shape: number[];
  begin: number;
  end: number;
}

/** Where the weights come from: mapped files, or a seed (random weights). */
export type NativeWeights = { files: string[]; tensors: NativeTensor[] } | { seed: bigint };

export type Activation = 'relu' | 'gelu' | 'gelu_tanh' | 'silu';

/** What the forward pass needs to know of config.json. */
export interface NativeConfig {
  vocabSize: number;
  dModel: number;
  dKv: number;
  dFf: number;
  numHeads: number;
  numLayers: number;
  numDecoderLayers: number;
  relativeAttentionNumBuckets: number;
  relativeAttentionMaxDistance: number;
  /** UMT5: a relative bias in every layer instead of the first only. */
  relativeBiasEveryLayer: boolean;
  layerNormEpsilon: number;
  activation: Activation;
  gated: boolean;
  /** Multiply the decoder output by d_model^-0.5 before the head. */
  scaleDecoderOutputs: boolean;
  /** Random weights only: whether the head shares the embedding matrix. */
  tieWordEmbeddings: boolean;
}

export interface NativeModelOptions {
  device: string;
  dtype: string;
  /** Upper bound on pool threads one operation of this model uses; 0: all cores. */
  threads: number;
}

/** Tensors of the file that the model does not need: copies of `shared`, known leftovers, and the rest. */
export interface NativeLoadReport {
  duplicates: string[];
  leftovers: string[];
  unused: string[];
}

export interface NativeModel {
  readonly device: string;
  readonly dtype: 'f32' | 'bf16' | 'int8';
  readonly parameters: number;
  readonly memoryBytes: number;
  readonly report: NativeLoadReport;
  /** Ids are packed back to back; `lengths` splits them into rows. Result: packed states, [sum(lengths), dModel]. */
  encode(ids: Int32Array, lengths: Int32Array): Promise<Float32Array>;
  /** Packed logits, [sum(decoderLengths), vocabSize]. */
  logits(
    ids: Int32Array,
    lengths: Int32Array,
    decoderIds: Int32Array,
    decoderLengths: Int32Array,
  ): Promise<Float32Array>;
  /** Log-probability of each output id, packed; the decoder start token is put in front of each row. */
  score(
    ids: Int32Array,
    lengths: Int32Array,
    outputIds: Int32Array,
    outputLengths: Int32Array,
    startToken: number,
  ): Promise<Float32Array>;
  /** Drops this handle's reference; memory goes when the last session on it has closed. */
  dispose(): void;
}

/** Who proposes, and in which shape; what a kind does not use is 0, false or empty. */
export interface NativeDraftPlan {
  kind: 'none' | 'levels' | 'dynamicTree' | 'copy' | 'cascade';
  /** levels, copy: candidates per node, level by level; a chain is all ones. */
  widths: Int32Array;
  /** levels: whether sibling candidates are drawn with replacement. */
  replacement: boolean;
  /** dynamicTree: candidates of a step. */
  nodes: number;
  /** dynamicTree: levels. */
  depth: number;
  /** cascade: [drafters, drafters], Max-Gram included. */
  lengths: Int32Array;
  /** cascade: whether the last drafter is Max-Gram. */
  copies: boolean;
  /** cascade: most tokens Max-Gram proposes at once. */
  copyLength: number;
  /** cascade: of reviews below the target, >= 1. */
  lenience: number;
  /** Successors for Max-Gram, [vocabulary], negative: none; or empty. */
  bigrams: Int32Array;
  /** Lengths chosen step by step. */
  adaptive: { max: number; confidence: number } | null;
}

/** Upper bounds and fixed properties of a session. */
export interface NativeSessionOptions {
  draft: NativeDraftPlan;
  maxBatch: number;
  maxInputTokens: number;
  /** Upper bound of generated tokens per request. */
  maxNewTokens: number;
  /** Upper bound of the decoder prefix length (start token or `decoderPrefix`). */
  maxPrefixTokens: number;
}

/** One sequence to decode. Validated by lib; the engine trusts shapes but checks bounds again. */
export interface NativeRequest {
  inputIds: Int32Array;
  /** What the decoder starts from: the start token, or the caller's prefix. */
  prefix: Int32Array;
  eosTokens: Int32Array;
  stopTokens: Int32Array;
  suppressTokens: Int32Array;
  maxNewTokens: number;
  minNewTokens: number;
  /** 0: greedy. */
  temperature: number;
  /** 0: off. */
  topK: number;
  /** 1: off. */
  topP: number;
  /** One seed per sample; the samples share one encoder pass. */
  seeds: BigUint64Array;
  logprobs: boolean;
  rule: NativeRule;
  /** 'trusted': drafts are made where the rule keeps the drafter, and not tested. */
  verifier: 'token' | 'block' | 'k-seq' | 'trusted';
  /** Drafting stops before a position where the drafter's largest probability is below this; 0: off. */
  confidenceStop: number;
}

type PositionKind = 'chow' | 'diff' | 'opt';
type TokenKind = 'tokenV1' | 'tokenV2' | 'tokenV3';

/** A deferral rule; `alpha` is BiLD's rollback, `beta` counts for lossy alone. */
export interface NativeRule {
  kind: 'lossless' | 'lossy' | 'lossyMatched' | `${PositionKind}${'' | 'Log'}` | TokenKind | 'bild';
  alpha: number;
  beta: number;
}

export interface NativeStats {
  targetCalls: number;
  /** Per drafter. */
  draftCalls: number[];
  proposed: number;
  tested: number;
  accepted: number;
  /** Positions whose deferral was asked for. */
  decided: number;
  /** Deferral summed over them. */
  deferred: number;
  encodeMs: number;
  decodeMs: number;
}

export type NativeFinish = 'eos' | 'length' | 'stop' | 'aborted';

/** What one step of one sample produced. */
export interface NativeEvent {
  /** The id that submit() gave. */
  request: number;
  sample: number;
  tokens: Int32Array;
  /** How many of `tokens`, from the front, are accepted drafts; the rest are the target's own. */
  accepted: number;
  logprobs: Float32Array | null;
  /** Set on the last event of the sample. */
  finish: NativeFinish | null;
  /** Set on the last event of the sample. */
  stats: NativeStats | null;
  /** Set instead of `finish` when the sample failed. */
  error: SpeccascadeError | null;
}

export interface NativeSessionStats {
  queued: number;
  active: number;
  /** Engine steps (target passes) so far. */
  steps: number;
  totals: NativeStats & { requests: number; tokens: number };
  cacheBytes: number;
}

export interface NativeSession {
  /** Queues a request and returns its id; its events follow. Every sample ends in exactly one. */
  submit(request: NativeRequest): number;
  /** Asks for an end within one step; the samples finish with 'aborted'. Unknown ids are ignored. */
  cancel(id: number): void;
  stats(): NativeSessionStats;
  /** Aborts work under way; resolves when the engine's thread has ended. */
  close(): Promise<void>;
}

export interface DeviceInfo {
  name: string;
  kind: 'cpu' | 'cuda';
  memoryBytes: number;
  computeCapability?: string;
  features: string[];
  /** Why a kind of device is missing or limited. */
  note?: string;
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
  verifier: 'chain' | 'block' | 'tree';
  stopTokens: Int32Array;
  /** [nodes + 1] one per node, the last for the final draw; null: counters of this address. */
  uniforms: Float64Array | null;
  seed: bigint;
  request: number;
  position: number;
  step: number;
}

/** Candidates at one position, averaged: rate, rate per try, emitted as candidate or afterwards. */
export interface NativeCandidateLaw {
  rate: number;
  steps: Float64Array;
  accepted: Float64Array;
  rejected: Float64Array;
}

/** Cascade drafting by models that are functions; model 0 is the target. */
export interface NativeCascade extends Omit<NativePlaces, 'target' | 'drafter'> {
  float: boolean;
  /** Model numbers; -1, last: copies from `copy`, or by Max-Gram from `input` where that is null. */
  drafts: Int32Array;
  /** [drafts, drafts] */
  lengths: Int32Array;
  /** The rule of the reviews below the target; `rule` is the target's. */
  leniency: NativeRule;
  logits: (model: number, prefix: Int32Array) => NativeRows;
  copy: ((prefix: Int32Array) => Int32Array) | null;
  input: Int32Array;
  start: number;
}

/** Single operations on the CPU, exact laws by enumeration, formulas. Undefined numbers are NaN. */
export interface NativeLowlevel {
  scale(args: { rows: NativeRows; vocabulary: number; scaling: NativeScaling }): NativeRows;
  target(args: NativePlaces): NativeRows;
  verify(args: NativeStep): { accepted: Int32Array; next: number; deferral: Float32Array };
  /** One drafted token; unscaled rows where they are not the scaled ones at temperature 1. */
  positionLaw(args: NativePlaces & { drafterUnscaled?: NativeRows; targetUnscaled?: NativeRows }): {
    pi: Float64Array;
    accept: Float64Array;
    residual: Float64Array | null;
    kept: Int32Array | null;
    deferral: number;
    rate: number;
    variation: number;
    largestDrafter: number;
    largestTarget: number;
  };
  candidateLaw(args: {
    vocabulary: number;
    wanted: NativeRows;
    drafter: NativeRows;
    siblings: NativeSiblings;
    k: number;
    candidates: Int32Array;
  }): NativeCandidateLaw & { accept: Float64Array; residual: Float64Array; bound: number };
  kseqLaw(args: {
    vocabulary: number;
    wanted: NativeRows;
    drafter: NativeRows;
    k: number;
  }): NativeCandidateLaw & { rho: number; beta: number; residual: Float64Array | null };
  /**
   * A step over models given after every prefix of at most widths.length tokens: place 0 follows
   * the empty one, and that of prefix n followed by token v is n x vocabulary + 1 + v. `length`:
   * chance of n + 1 tokens; `emitted`: of exactly the tokens of a prefix.
   */
  stepLaw(
    args: NativePlaces & Pick<NativeStep, 'siblings' | 'verifier'> & { widths: Int32Array },
  ): { length: Float64Array; first: Float64Array; emitted: Float64Array };
  blockScan(args: NativePlaces & { draft: Int32Array }): {
    weights: Float64Array;
    thresholds: Float64Array;
    rows: (Float64Array | null)[];
    masses: Float64Array;
  };
  cascadeLaw(args: NativeCascade): {
    length: Float64Array;
    calls: Float64Array;
    emitted: { tokens: Int32Array; chance: number }[];
  };
  cascadeGreedy(args: NativeCascade & { count: number }): {
    tokens: Int32Array;
    steps: Int32Array;
    calls: Float64Array;
  };
  /** `bigrams`: successor per token, negative for none. */
  maxGram(args: {
    input: Int32Array;
    output: Int32Array;
    ends: Int32Array;
    bigrams: Int32Array;
    length: number;
  }): { match: number; start: number; tokens: Int32Array };
  expectation(args: { name: string; args: Float64Array }): number;
}

export interface Native {
  /** The class that failures of the core are thrown as. */
  setErrorClass(errorClass: typeof SpeccascadeError): void;
  loadModel(
    config: NativeConfig,
    weights: NativeWeights,
    options: NativeModelOptions,
    onProgress: ((doneBytes: number, totalBytes: number) => void) | null,
    /** Shared memory of one element; loading ends with ERR_ABORTED soon after it is set. */
    cancelled: Int32Array,
  ): Promise<NativeModel>;
  createSession(
    target: NativeModel,
    drafters: NativeModel[],
    options: NativeSessionOptions,
    /** Gets the events of each step, in order. */
    onEvents: (events: NativeEvent[]) => void,
  ): NativeSession;
  devices(): DeviceInfo[];
  philox(seed: bigint, counter: Uint32Array): Uint32Array;
  readonly lowlevel: NativeLowlevel;
}

function load(): Native {
  const root = fileURLToPath(new URL('..', import.meta.url)); // same depth from lib/ and dist/
  const require = createRequire(import.meta.url);
  try {
    const addon = (require('node-gyp-build') as (dir: string) => Native)(root);
    addon.setErrorClass(SpeccascadeError);
    return addon;
  } catch (cause) {
    throw new SpeccascadeError(
      'ERR_DEVICE',
      `the native addon is not built for ${process.platform}-${process.arch}: ` +
        `run "npm rebuild speccascade" (or "npm run build:native" in a checkout); ` +
        `it needs CMake and a C++20 compiler. ${(cause as Error).message}`,
      { cause },
    );
  }
}

export const native: Native = load();
