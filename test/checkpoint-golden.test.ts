/** The golden checkpoints and the bundled models read as what they are. */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readCheckpoint } from '../lib/checkpoint.ts';
import { goldenFolder, packWeights, unpackWeights } from './support/golden-files.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

interface Facts {
  activation: string;
  gated: boolean;
  scale: boolean;
  head: boolean;
  bias: boolean;
  layers: [number, number];
}

const golden: [string, Facts][] = [
  [
    'relu-tied',
    { activation: 'relu', gated: false, scale: true, head: false, bias: false, layers: [2, 2] },
  ],
  [
    'gated-untied',
    { activation: 'gelu_tanh', gated: true, scale: false, head: true, bias: false, layers: [3, 2] },
  ],
  [
    'umt5',
    { activation: 'gelu_tanh', gated: true, scale: false, head: true, bias: true, layers: [2, 3] },
  ],
  [
    'odd-sizes',
    { activation: 'gelu_tanh', gated: true, scale: false, head: true, bias: false, layers: [2, 2] },
  ],
];

describe('golden checkpoints', () => {
  it.each(golden)('%s', async (name, facts) => {
    const { config, native, weights, warnings } = await readCheckpoint(goldenFolder(name));
    expect(native).toMatchObject({
      activation: facts.activation,
      gated: facts.gated,
      scaleDecoderOutputs: facts.scale,
      relativeBiasEveryLayer: facts.bias,
      numLayers: facts.layers[0],
      numDecoderLayers: facts.layers[1],
    });
    expect(weights.tensors.some((t) => t.name === 'lm_head.weight')).toBe(facts.head);
    expect(config).toMatchObject({ decoderStartTokenId: 0, eosTokenIds: [1], padTokenId: 0 });
    expect(warnings).toEqual([]);
  });

  it('are packed as they are unpacked', () => {
    const bytes = Uint8Array.from({ length: 44 }, (_, i) => 7 * i);
    expect(unpackWeights(packWeights(bytes))).toEqual(bytes);
    expect(() => packWeights(bytes.subarray(1))).toThrow('43 bytes');
  });

  it('reads the odd sizes', async () => {
    const { native } = await readCheckpoint(goldenFolder('odd-sizes'));
    expect(native).toMatchObject({
      vocabSize: 301,
      dModel: 40,
      dKv: 8,
      dFf: 100,
      numHeads: 5,
      relativeAttentionNumBuckets: 16,
      relativeAttentionMaxDistance: 20,
      layerNormEpsilon: 1e-6,
    });
  });
});

describe('tensor table', () => {
  it.each(['small', 'base', 'large'])('of models/%s covers the file', async (name) => {
    const { weights, warnings } = await readCheckpoint(path.join(root, 'models', name));
    expect(warnings).toEqual([]);
    expect(weights.files).toEqual([path.join(root, 'models', name, 'model.safetensors')]);
    const [file = ''] = weights.files;
    expect(weights.tensors.at(-1)?.end).toBe(statSync(file).size);
    expect(new Set(weights.tensors.map((t) => t.dtype))).toEqual(new Set(['BF16']));
    const shared = weights.tensors.find((t) => t.name === 'shared.weight');
    expect(shared?.shape[0]).toBe(8064);
  });

  it('gives byte ranges from the start of the file', async () => {
    const { weights } = await readCheckpoint(goldenFolder('relu-tied'));
    const norm = weights.tensors.find((t) => t.name === 'encoder.final_layer_norm.weight');
    const bytes = readFileSync(weights.files[norm?.file ?? -1] ?? '').subarray(
      norm?.begin,
      norm?.end,
    );
    const values = Array.from({ length: 64 }, (_, i) => bytes.readFloatLE(4 * i));
    expect(bytes.length).toBe(256);
    for (const value of values) expect(Math.abs(value)).toBeLessThan(4);
  });
});
