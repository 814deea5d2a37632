/** Shapes of published models, for random weights: benchmarks need the sizes, not the values. */
import { SpeccascadeError } from '../errors.ts';
import type { T5Config } from './config.ts';
import { show } from './messages.ts';

/** T5 v1.1: width, heads of 64, feed-forward width, layers of encoder and of decoder. */
const shapes = {
  't5-small': { dModel: 512, numHeads: 6, dFf: 1024, layers: 8 },
  't5-base': { dModel: 768, numHeads: 12, dFf: 2048, layers: 12 },
  't5-large': { dModel: 1024, numHeads: 16, dFf: 2816, layers: 24 },
  't5-xl': { dModel: 2048, numHeads: 32, dFf: 5120, layers: 24 },
  't5-xxl': { dModel: 4096, numHeads: 64, dFf: 10240, layers: 24 },
} as const;

/** A published shape that `random:<shape>` sources can name. */
type PublishedShape = keyof typeof shapes;

export const publishedShapes = Object.keys(shapes) as PublishedShape[];

/**
 * Configuration of a published T5 v1.1 model (gated tanh GELU, separate head, no scaling,
 * vocabulary 32128). An unknown name is ERR_INPUT.
 */
export function publishedConfig(name: string): T5Config {
  if (!Object.hasOwn(shapes, name)) {
    const known = publishedShapes.join(', ');
    throw new SpeccascadeError(
      'ERR_INPUT',
      `random weights: expected a shape among ${known}, received ${show(name)}`,
    );
  }
  const { dModel, numHeads, dFf, layers } = shapes[name as PublishedShape];
  return {
    modelType: 't5',
    vocabSize: 32128,
    dModel,
    dKv: 64,
    dFf,
    numLayers: layers,
    numDecoderLayers: layers,
    numHeads,
    relativeAttentionNumBuckets: 32,
    relativeAttentionMaxDistance: 128,
    layerNormEpsilon: 1e-6,
    feedForwardProj: 'gated-gelu',
    denseActFn: 'gelu_new',
    isGatedAct: true,
    tieWordEmbeddings: false,
    scaleDecoderOutputs: false,
    decoderStartTokenId: 0,
    eosTokenId: 1,
    eosTokenIds: [1],
    padTokenId: 0,
  };
}
