/** config.json and generation_config.json -> a validated T5Config with published defaults. */
import { readFeedForward } from './activation.ts';
import {
  booleanField,
  field,
  fieldError,
  integerField,
  positiveField,
  stringField,
  type IntegerRange,
} from './fields.ts';
import { familyDefaults, modelFamily, type FamilyDefaults, type ModelType } from './families.ts';
import { isObject, type JsonFile } from './json-file.ts';
import { readTokenIds } from './token-ids.ts';

/** What config.json and generation_config.json say, in camelCase, defaults filled in. */
export interface T5Config {
  /** Family of the checkpoint: 't5', 'mt5' or 'umt5' (ByT5 and CodeT5 are 't5'). */
  modelType: ModelType;
  /** Rows of the embedding and of the logits; padded rows included. */
  vocabSize: number;
  /** Width of the hidden states. */
  dModel: number;
  /** Width of one attention head. */
  dKv: number;
  /** Width inside the feed-forward layers. */
  dFf: number;
  /** Encoder layers. */
  numLayers: number;
  numDecoderLayers: number;
  /** Attention heads of a layer. */
  numHeads: number;
  /** Classes of distances that have a bias of their own. */
  relativeAttentionNumBuckets: number;
  /** Distance in tokens from which on all positions share the last bucket. */
  relativeAttentionMaxDistance: number;
  /** What is added to the mean square before its root is taken. */
  layerNormEpsilon: number;
  /** As published, e.g. 'relu' or 'gated-gelu'; `denseActFn` and `isGatedAct` say what it means. */
  feedForwardProj: string;
  /** The activation: 'relu', 'gelu', 'gelu_new', 'silu' ... */
  denseActFn: string;
  /** Whether it gates a second product instead of following a single one. */
  isGatedAct: boolean;
  /** As the file says. The head is `lm_head.weight` wherever that tensor exists, whatever this says. */
  tieWordEmbeddings: boolean;
  /** Whether the decoder output is multiplied by dModel^-0.5 before the head. */
  scaleDecoderOutputs: boolean;
  /** What every output is begun with, itself no part of it. */
  decoderStartTokenId: number;
  /** As the file says: one id or a list. */
  eosTokenId: number | number[];
  /** The same as a list: any of these ends an output. */
  eosTokenIds: number[];
  /** Read, and not needed: nothing is padded here. */
  padTokenId: number;
}

/**
 * Far above every published model, far below what would overflow a size computation; the same as in
 * native/model/config.cpp.
 */
const limits = {
  vocabSize: { min: 1, max: 2 ** 22 },
  dModel: { min: 1, max: 2 ** 16 },
  dKv: { min: 1, max: 2 ** 12 },
  dFf: { min: 1, max: 2 ** 18 },
  layers: { min: 1, max: 1024 },
  numHeads: { min: 1, max: 1024 },
  // Half of the encoder's half counts exact distances: below 4 buckets there is none.
  buckets: { min: 4, max: 2 ** 12 },
  distance: { min: 2, max: 2 ** 16 },
} satisfies Record<string, IntegerRange>;

/** Largest numHeads x dKv. */
const maxInnerWidth = 2 ** 17;

/**
 * Validates the two files. Missing keys take the defaults of the model's family; null counts as
 * missing. Anything of a wrong type, out of range or not supported is ERR_CONFIG and names file,
 * key and value.
 */
export function parseConfig(config: JsonFile, generation: JsonFile | null): T5Config {
  const modelType = modelFamily(config);
  refuseQuantised(config);
  const defaults = familyDefaults[modelType];
  const shape = readShape(config, defaults);
  const tie = booleanField(config, 'tie_word_embeddings') ?? true;
  return {
    modelType,
    ...shape,
    ...readRelativeAttention(config),
    layerNormEpsilon: positiveField(config, 'layer_norm_epsilon', 1) ?? 1e-6,
    ...readFeedForward(config, defaults.feedForwardProj),
    tieWordEmbeddings: tie,
    // Newer writers say it outright; before, an untied head meant no scaling.
    scaleDecoderOutputs: booleanField(config, 'scale_decoder_outputs') ?? tie,
    ...readTokenIds(generation === null ? [config] : [generation, config], shape.vocabSize),
  };
}

type Shape = Pick<
  T5Config,
  'vocabSize' | 'dModel' | 'dKv' | 'dFf' | 'numLayers' | 'numDecoderLayers' | 'numHeads'
>;

function readShape(config: JsonFile, defaults: FamilyDefaults): Shape {
  const numLayers =
    aliased(config, 'num_layers', 'num_hidden_layers', limits.layers) ?? defaults.numLayers;
  const shape = {
    vocabSize: integerField(config, 'vocab_size', limits.vocabSize) ?? defaults.vocabSize,
    dModel: aliased(config, 'd_model', 'hidden_size', limits.dModel) ?? 512,
    dKv: aliased(config, 'd_kv', 'head_dim', limits.dKv) ?? 64,
    dFf: integerField(config, 'd_ff', limits.dFf) ?? defaults.dFf,
    numLayers,
    numDecoderLayers: integerField(config, 'num_decoder_layers', limits.layers) ?? numLayers,
    numHeads:
      aliased(config, 'num_heads', 'num_attention_heads', limits.numHeads) ?? defaults.numHeads,
  };
  const inner = shape.numHeads * shape.dKv;
  if (inner > maxInnerWidth) {
    throw fieldError(config, 'num_heads x d_kv', `at most ${maxInnerWidth}`, inner);
  }
  return shape;
}

/** A key that some writers spell differently; the two spellings must agree. */
function aliased(
  config: JsonFile,
  key: string,
  alias: string,
  range: IntegerRange,
): number | undefined {
  const value = integerField(config, key, range);
  const other = integerField(config, alias, range);
  if (value !== undefined && other !== undefined && value !== other) {
    throw fieldError(config, alias, `the same as ${key} (${value})`, other);
  }
  return value ?? other;
}

function readRelativeAttention(
  config: JsonFile,
): Pick<T5Config, 'relativeAttentionNumBuckets' | 'relativeAttentionMaxDistance'> {
  const distanceKey = 'relative_attention_max_distance';
  const buckets = integerField(config, 'relative_attention_num_buckets', limits.buckets) ?? 32;
  const distance = integerField(config, distanceKey, limits.distance) ?? 128;
  // The decoder's first half of the buckets is one per distance; the logarithmic half spans
  // what is left up to the maximum distance, so something must be left.
  const exact = Math.floor(buckets / 2);
  if (distance <= exact) {
    throw fieldError(config, distanceKey, `more than ${exact}, half of the buckets`, distance);
  }
  return { relativeAttentionNumBuckets: buckets, relativeAttentionMaxDistance: distance };
}

function refuseQuantised(config: JsonFile): void {
  const quantised = field(config, 'quantization_config');
  if (quantised === undefined) return;
  const value: JsonFile = { file: config.file, value: isObject(quantised) ? quantised : {} };
  const method = stringField(value, 'quant_method') ?? quantised;
  throw fieldError(config, 'quantization_config', 'a checkpoint that is not quantised', method);
}
