/**
 * A folder in the published layout -> everything the native side needs to map and bind its
 * weights. Which tensor goes where, and whether its shape fits, is checked there.
 */
import path from 'node:path';
import type { NativeConfig, NativeTensor } from './native.ts';
import { activationOf } from './checkpoint/activation.ts';
import { parseConfig, type T5Config } from './checkpoint/config.ts';
import { field } from './checkpoint/fields.ts';
import { generationWarnings } from './checkpoint/generation.ts';
import { checkFolder, readJsonObject } from './checkpoint/json-file.ts';
import { hasBiasInEveryLayer, layoutWarnings, nativeTensors } from './checkpoint/layout.ts';
import { checkpointError, configError } from './checkpoint/messages.ts';
import { readWeights } from './checkpoint/weights.ts';

export type { T5Config } from './checkpoint/config.ts';

/** A checkpoint whose headers have been read and whose tensor data have not. */
interface Checkpoint {
  config: T5Config;
  native: NativeConfig;
  weights: {
    /** Absolute paths of the safetensors files. */
    files: string[];
    /** Every float tensor of the files; byte ranges count from the start of the file. */
    tensors: NativeTensor[];
  };
  /** What is odd but harmless, one sentence each. */
  warnings: string[];
}

/** Largest configuration file that is read, in bytes. */
const maxConfigBytes = 4 * 2 ** 20;

/**
 * Reads config.json, generation_config.json (if there is one) and the safetensors headers of a
 * folder. What is missing, unreadable or broken is ERR_CHECKPOINT and names file and tensor; a
 * configuration value that is wrong or not supported is ERR_CONFIG and names file and key.
 */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const root = path.resolve(folder);
  await checkFolder(root);
  const configFile = path.join(root, 'config.json');
  const source = await readJsonObject(configFile, maxConfigBytes);
  if (source === null)
    throw checkpointError(configFile, 'expected the configuration, found no file');
  const generation = await readJsonObject(
    path.join(root, 'generation_config.json'),
    maxConfigBytes,
  );
  const config = parseConfig(source, generation);
  const table = await readWeights(root);
  const warnings = [...table.warnings, ...generationWarnings(generation)];
  const tensors = nativeTensors(table, warnings);
  const scaleIsExplicit = field(source, 'scale_decoder_outputs') !== undefined;
  warnings.push(...layoutWarnings(config, configFile, tensors, scaleIsExplicit));
  return {
    config,
    native: nativeConfig(config, hasBiasInEveryLayer(config, tensors)),
    weights: { files: table.files, tensors },
    warnings,
  };
}

/**
 * The part of a configuration that the forward pass needs. `relativeBiasEveryLayer`: as the
 * tensors show; by default as the model type says.
 */
export function nativeConfig(
  config: T5Config,
  relativeBiasEveryLayer = config.modelType === 'umt5',
): NativeConfig {
  const activation = activationOf(config.denseActFn);
  if (activation === undefined) {
    throw configError('denseActFn', `expected a known activation, received ${config.denseActFn}`);
  }
  return {
    vocabSize: config.vocabSize,
    dModel: config.dModel,
    dKv: config.dKv,
    dFf: config.dFf,
    numHeads: config.numHeads,
    numLayers: config.numLayers,
    numDecoderLayers: config.numDecoderLayers,
    relativeAttentionNumBuckets: config.relativeAttentionNumBuckets,
    relativeAttentionMaxDistance: config.relativeAttentionMaxDistance,
    relativeBiasEveryLayer,
    layerNormEpsilon: config.layerNormEpsilon,
    activation,
    gated: config.isGatedAct,
    scaleDecoderOutputs: config.scaleDecoderOutputs,
    tieWordEmbeddings: config.tieWordEmbeddings,
  };
}
