/** The public names, nothing else. */
export { T5Model } from './model.ts';
export type { Device, Dtype, LoadOptions, LoadProgress } from './model.ts';
export type { IdRows, TokenIds } from './pack.ts';
export type { T5Config } from './checkpoint.ts';
export type { ModelType } from './checkpoint/families.ts';
export { Tokenizer, TokenStream } from './tokenizer.ts';
export type { DecodeOptions } from './tokenizer.ts';
export { adaptive, chain, csDraft, dynamicTree, maxGram, tree } from './drafters.ts';
export type {
  AdaptiveDrafter,
  ChainDrafter,
  CsDraftDrafter,
  Drafter,
  DrafterInput,
  DynamicTreeDrafter,
  MaxGram,
  MaxGramInput,
  MaxGramOptions,
  TreeDrafter,
} from './drafters.ts';
export { bild, chow, diff, lossless, lossy, opt, tokenV1, tokenV2, tokenV3 } from './rules.ts';
export type {
  BildRule,
  Loss,
  LosslessRule,
  LossyRule,
  PositionRule,
  Rule,
  RuleInput,
  TokenRule,
} from './rules.ts';
export { createSession, DecodeSession } from './session.ts';
export type { Latencies, SessionStats } from './session/stats.ts';
export type { CascadeOptions, SequenceScore } from './session/cascade-options.ts';
export type { Input } from './session/inputs.ts';
export type { GenerateOptions, SamplingOptions, SessionOptions } from './session/options.ts';
export type { Result, ResultStats } from './session/result.ts';
export type { StreamChunk } from './session/stream.ts';
export { runBatch } from './batch.ts';
export type { BatchSummary } from './batch.ts';
export type { BatchOptions, BatchProgress } from './batch/options.ts';
export { mergeShards } from './batch/merge.ts';
export { sessionMetrics } from './telemetry.ts';
export type { LabelledSession, Metric, MetricSample } from './telemetry.ts';
export { errorCodes, SpeccascadeError } from './errors.ts';
export type { ErrorCode, ErrorDetails } from './errors.ts';
