/**
 * The whole native surface, typed on one page. This is the only file that
 * loads the addon; everything below is plain data in, plain data out.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { SpeccascadeError } from './errors.ts';
import type { NativeLowlevel, NativeRule } from './native-lowlevel.ts';

export type * from './native-lowlevel.ts';

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

/** Where the weights come from: files, or a seed (random weights). */
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
  readonly device: 'cpu' | `cuda:${number}`;
  readonly dtype: 'f32' | 'bf16' | 'f16' | 'int8';
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
  /**
   * Medians of whole passes over each number of rows, in turns: of the decoder after `cached`
   * positions over `source` input tokens, or of the encoder (which takes neither).
   */
  timePasses(
    pass: 'decoder' | 'encoder',
    rows: Int32Array,
    cached: number,
    source: number,
    repeats: number,
  ): Promise<{
    msMedian: Float64Array;
    msMin: Float64Array;
    bytes: Float64Array;
    flops: Float64Array;
  }>;
  /**
   * Median milliseconds of the passes in steps of speculation: the target's over `drafts` + 1
   * positions, and one of the drafter; encoder passes and steps in the order of decoding.
   */
  timeSteps(
    drafter: NativeModel | null,
    drafts: number,
    cached: number,
    source: number,
    repeats: number,
  ): Promise<{ target: number; draft: number }>;
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
  /** Encoder work between two steps while others decode, in tokens. */
  encoderTokensPerStep: number;
  /** Draft lengths are upper bounds and follow the load where results do not depend on them. */
  followsLoad: boolean;
  /** Whether requests may have their trees verified by traversal, which needs more memory. */
  traversal: boolean;
  /** Whether sampled outputs may not depend on the load. */
  reproducible: boolean;
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
  /** Whether events tell every step; else a sample's first step, and the others with its end. */
  byStep: boolean;
  rule: NativeRule;
  /** 'trusted': drafts are made where the rule keeps the drafter, and not tested. */
  verifier: 'token' | 'block' | 'k-seq' | 'traversal' | 'trusted';
  /** Drafting stops before a position where the drafter's largest probability is below this; 0: off. */
  confidenceStop: number;
  /** -10 to 10; higher starts earlier. */
  priority: number;
  /** Milliseconds since the call; counts as time in the queue. */
  waitedMs: number;
}

export interface NativeStats {
  /** Emitted. */
  tokens: number;
  targetCalls: number;
  /** Per drafter. */
  draftCalls: number[];
  proposed: number;
  tested: number;
  accepted: number;
  /** Positions whose deferral was asked for; 0 for rules that do not defer. */
  decided: number;
  /** Deferral summed over them. */
  deferred: number;
  encodeMs: number;
  decodeMs: number;
}

export type NativeFinish = 'eos' | 'length' | 'stop' | 'aborted';

/** What one step of one sample produced, or the last of several (`byStep`). */
export interface NativeEvent {
  /** The id that submit() gave. */
  request: number;
  sample: number;
  /** How many samples end alike, from `sample` on: more than one where they had not begun. */
  samples: number;
  tokens: Int32Array;
  /**
   * How many of `tokens`, from the front, are accepted drafts; the rest are the target's own. Of one
   * step: 0 where tokens of several come together.
   */
  accepted: number;
  logprobs: Float32Array | null;
  /** Set on the last event of the sample. */
  finish: NativeFinish | null;
  /** Set on the last event of the sample. */
  stats: NativeStats | null;
  /** Set instead of `finish` when the sample failed. */
  error: SpeccascadeError | null;
}

/** Wall-clock times counted by size. */
export interface NativeLatencies {
  boundsMs: number[];
  /** One more than bounds. */
  counts: number[];
  count: number;
  sumMs: number;
}

export interface NativeSessionStats {
  queued: number;
  active: number;
  steps: number;
  slotSteps: number;
  /** Emitted, of running samples too. */
  tokens: number;
  encodeMs: number;
  decodeMs: number;
  inQueue: NativeLatencies;
  firstToken: NativeLatencies;
  betweenTokens: NativeLatencies;
  /** Of samples that have ended. */
  totals: NativeStats & { requests: number };
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

export interface Native {
  /** The class that failures of the core are thrown as. */
  setErrorClass(errorClass: typeof SpeccascadeError): void;
  loadModel(
    config: NativeConfig,
    weights: NativeWeights,
    options: NativeModelOptions,
    onProgress: ((phase: 'read' | 'upload', doneBytes: number, totalBytes: number) => void) | null,
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
