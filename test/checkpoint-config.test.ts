/** config.json and generation_config.json: defaults, spellings, and every refusal. */
import { describe, expect, it } from 'vitest';
import { publishedConfig, publishedShapes } from '../lib/checkpoint/published.ts';
import { nativeConfig, readCheckpoint } from '../lib/checkpoint.ts';
import { parseConfig, type T5Config } from '../lib/checkpoint/config.ts';
import type { JsonObject } from '../lib/checkpoint/json-file.ts';
import { SpeccascadeError } from '../lib/errors.ts';
import { checkpointFolder, expectError, tinyConfig } from './support/checkpoint-builder.ts';

function parse(config: JsonObject, generation?: JsonObject): T5Config {
  return parseConfig(
    { file: 'config.json', value: config },
    generation ? { file: 'generation_config.json', value: generation } : null,
  );
}

function parseFailure(config: JsonObject, generation?: JsonObject): SpeccascadeError {
  try {
    parse(config, generation);
  } catch (error) {
    expect(error).toBeInstanceOf(SpeccascadeError);
    return error as SpeccascadeError;
  }
  return expect.fail('expected an error');
}

describe('defaults', () => {
  it('are those of the published T5', () => {
    expect(parse({})).toEqual({
      modelType: 't5',
      vocabSize: 32128,
      dModel: 512,
      dKv: 64,
      dFf: 2048,
      numLayers: 6,
      numDecoderLayers: 6,
      numHeads: 8,
      relativeAttentionNumBuckets: 32,
      relativeAttentionMaxDistance: 128,
      layerNormEpsilon: 1e-6,
      feedForwardProj: 'relu',
      denseActFn: 'relu',
      isGatedAct: false,
      tieWordEmbeddings: true,
      scaleDecoderOutputs: true,
      decoderStartTokenId: 0,
      eosTokenId: 1,
      eosTokenIds: [1],
      padTokenId: 0,
    });
  });

  it.each(['mt5', 'umt5'])('of %s differ in size and activation', (model_type) => {
    expect(parse({ model_type })).toMatchObject({
      modelType: model_type,
      vocabSize: 250112,
      dFf: 1024,
      numLayers: 8,
      numDecoderLayers: 8,
      numHeads: 6,
      denseActFn: 'gelu_new',
      isGatedAct: true,
    });
  });

  it('take null for absent, and the encoder depth for the decoder', () => {
    const config = parse({ num_layers: 3, num_decoder_layers: null, d_ff: null });
    expect(config).toMatchObject({ numLayers: 3, numDecoderLayers: 3, dFf: 2048 });
  });

  it('follow aliases', () => {
    const aliases = { hidden_size: 96, num_hidden_layers: 2, num_attention_heads: 3, head_dim: 16 };
    expect(parse(aliases)).toMatchObject({ dModel: 96, numLayers: 2, numHeads: 3, dKv: 16 });
  });
});

describe('model type', () => {
  it.each([
    [{ model_type: 'byt5' }, 't5'],
    [{ model_type: 'codet5' }, 't5'],
    [{ architectures: ['UMT5ForConditionalGeneration'] }, 'umt5'],
    [{ architectures: ['T5WithLMHeadModel'] }, 't5'],
  ])('%o is %s', (config, type) => {
    expect(parse(config).modelType).toBe(type);
  });
});

describe('feed-forward names', () => {
  it.each([
    ['relu', 'relu', false],
    ['gelu', 'gelu', false],
    ['gelu_new', 'gelu_tanh', false],
    ['gelu_fast', 'gelu_tanh', false],
    ['gelu_pytorch_tanh', 'gelu_tanh', false],
    ['swish', 'silu', false],
    ['gated-gelu', 'gelu_tanh', true], // the published quirk
    ['gated-gelu_new', 'gelu_tanh', true],
    ['gated-silu', 'silu', true],
    ['gated-relu', 'relu', true],
  ])('%s is %s, gated %s', (feed_forward_proj, activation, gated) => {
    expect(nativeConfig(parse({ feed_forward_proj }))).toMatchObject({ activation, gated });
  });

  it('lose to explicit dense_act_fn and is_gated_act', () => {
    const config = parse({
      feed_forward_proj: 'gated-gelu',
      dense_act_fn: 'gelu',
      is_gated_act: false,
    });
    expect(nativeConfig(config)).toMatchObject({ activation: 'gelu', gated: false });
  });
});

describe('output scaling', () => {
  it.each([
    [{}, true],
    [{ tie_word_embeddings: true }, true],
    [{ tie_word_embeddings: false }, false],
    [{ tie_word_embeddings: true, scale_decoder_outputs: false }, false],
    [{ tie_word_embeddings: false, scale_decoder_outputs: true }, true],
  ])('%o: %s', (config, scale) => {
    expect(parse(config).scaleDecoderOutputs).toBe(scale);
  });
});

describe('token ids', () => {
  it('come from generation_config.json first', () => {
    const config = parse(
      { decoder_start_token_id: 5, eos_token_id: 6, pad_token_id: 7 },
      { decoder_start_token_id: 2, eos_token_id: [3, 4, 3], pad_token_id: null },
    );
    expect(config).toMatchObject({
      decoderStartTokenId: 2,
      eosTokenId: [3, 4],
      eosTokenIds: [3, 4],
      padTokenId: 7,
    });
  });

  it('keep a single id single', () => {
    expect(parse({ eos_token_id: [2] })).toMatchObject({ eosTokenId: 2, eosTokenIds: [2] });
  });
});

describe('refused values', () => {
  const cases: [string, JsonObject, string[]][] = [
    ['a string for a number', { d_model: '512' }, ['d_model', '"512"']],
    ['zero', { d_model: 0 }, ['d_model', 'received 0']],
    ['a negative number', { num_heads: -8 }, ['num_heads', '-8']],
    ['a fraction', { d_kv: 64.5 }, ['d_kv', '64.5']],
    ['an absurd size', { vocab_size: 1e12 }, ['vocab_size', '1000000000000']],
    ['a size beyond all numbers', { d_ff: 1e308 }, ['d_ff', '1e+308']],
    ['a list for a number', { num_layers: [2] }, ['num_layers', '[2]']],
    ['absurd depth', { num_decoder_layers: 1e6 }, ['num_decoder_layers', '1000000']],
    ['an overflow of heads x width', { num_heads: 1024, d_kv: 4096 }, ['num_heads x d_kv']],
    ['too few buckets', { relative_attention_num_buckets: 2 }, ['num_buckets', 'received 2']],
    ['a distance inside the exact buckets', { relative_attention_max_distance: 16 }, ['16']],
    ['no epsilon', { layer_norm_epsilon: 0 }, ['layer_norm_epsilon', 'received 0']],
    ['a huge epsilon', { layer_norm_epsilon: 2 }, ['layer_norm_epsilon', 'received 2']],
    ['an epsilon of text', { layer_norm_epsilon: '1e-6' }, ['layer_norm_epsilon']],
    ['an unknown activation', { feed_forward_proj: 'gated-mish' }, ['feed_forward_proj', 'mish']],
    ['a malformed activation', { feed_forward_proj: 'gated-gelu-x' }, ['gated-gelu-x']],
    ['another prefix', { feed_forward_proj: 'double-gelu' }, ['double-gelu']],
    ['a name from the prototype', { dense_act_fn: 'toString' }, ['dense_act_fn', 'toString']],
    ['an activation of the wrong type', { dense_act_fn: 3 }, ['dense_act_fn', 'a string']],
    ['a gate of the wrong type', { is_gated_act: 'yes' }, ['is_gated_act', '"yes"']],
    ['a tie of the wrong type', { tie_word_embeddings: 1 }, ['tie_word_embeddings', 'received 1']],
    ['another model type', { model_type: 'switch_transformers' }, ['switch_transformers']],
    ['long T5', { model_type: 'longt5' }, ['model_type', 'longt5']],
    ['another architecture', { architectures: ['BertModel'] }, ['architectures', 'BertModel']],
    ['disagreeing spellings', { d_model: 8, hidden_size: 9 }, ['hidden_size', 'd_model (8)', '9']],
    [
      'quantised weights',
      { quantization_config: { quant_method: 'bitsandbytes' } },
      ['quantization_config', 'bitsandbytes'],
    ],
    ['an end token outside', { vocab_size: 8, eos_token_id: 8 }, ['eos_token_id', 'received 8']],
    ['one of several outside', { eos_token_id: [1, 99999] }, ['eos_token_id', '99999']],
    ['no end token', { eos_token_id: [] }, ['eos_token_id', '[]']],
    ['a negative start', { decoder_start_token_id: -1 }, ['decoder_start_token_id', '-1']],
    ['a pad token of text', { pad_token_id: '<pad>' }, ['pad_token_id', '<pad>']],
    ['a vocabulary too small for T5', { vocab_size: 1 }, ['eos_token_id', 'received 1']],
  ];
  it.each(cases)('%s', (_, config, parts) => {
    const error = parseFailure(config);
    expect(error.code).toBe('ERR_CONFIG');
    expect(error.message).toContain('config.json: ');
    for (const part of parts) expect(error.message).toContain(part);
  });

  it('name generation_config.json where that is the culprit', () => {
    const error = parseFailure({ vocab_size: 8 }, { eos_token_id: 9 });
    expect(error.message).toBe(
      'generation_config.json: eos_token_id: expected an integer from 0 to 7, received 9',
    );
  });

  it.each([
    ['NaN', '{"d_model": NaN}', 'expected JSON'],
    ['half a file', '{"d_model": 8,', 'expected JSON'],
    ['an empty file', '', 'expected JSON'],
    ['a list', '[1, 2]', 'expected a JSON object, received [1,2]'],
    ['not UTF-8', new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]), 'expected JSON'],
    ['a large file', `{"x": "${'y'.repeat(5e6)}"}`, 'expected at most'],
  ])('in the file: %s', async (_, content, part) => {
    const folder = await checkpointFolder({ 'config.json': content });
    await expectError(readCheckpoint(folder), 'ERR_CONFIG', `${folder}/config.json`, part);
    const other = await checkpointFolder({ 'generation_config.json': content });
    await expectError(readCheckpoint(other), 'ERR_CONFIG', `${other}/generation_config.json`, part);
  });

  it('reach the caller with the path of the file', async () => {
    const folder = await checkpointFolder({ 'config.json': { ...tinyConfig, num_heads: 0 } });
    await expectError(readCheckpoint(folder), 'ERR_CONFIG', `${folder}/config.json: num_heads`);
  });
});

describe('published shapes', () => {
  it.each([
    ['t5-small', 512, 6, 1024, 8],
    ['t5-base', 768, 12, 2048, 12],
    ['t5-large', 1024, 16, 2816, 24],
    ['t5-xl', 2048, 32, 5120, 24],
    ['t5-xxl', 4096, 64, 10240, 24],
  ])('%s', (name, dModel, numHeads, dFf, layers) => {
    expect(nativeConfig(publishedConfig(name))).toEqual({
      vocabSize: 32128,
      dModel,
      dKv: 64,
      dFf,
      numHeads,
      numLayers: layers,
      numDecoderLayers: layers,
      relativeAttentionNumBuckets: 32,
      relativeAttentionMaxDistance: 128,
      relativeBiasEveryLayer: false,
      layerNormEpsilon: 1e-6,
      activation: 'gelu_tanh',
      gated: true,
      scaleDecoderOutputs: false,
      tieWordEmbeddings: false,
    });
    expect(publishedShapes).toContain(name);
  });

  it.each(['t5-huge', 'toString', ''])('refuses %o', (name) => {
    expect(() => publishedConfig(name)).toThrow(`received ${JSON.stringify(name)}`);
  });
});
