/** What a folder may and may not hold: missing files, other formats, shards, odd layouts. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCheckpoint } from '../lib/checkpoint.ts';
import {
  checkpointFolder,
  expectError,
  soundFile,
  tempFolder,
  tinyConfig,
  tinyTensors,
} from './support/checkpoint-builder.ts';

const indexName = 'model.safetensors.index.json';

describe('missing files', () => {
  it('no folder', async () => {
    await expectError(readCheckpoint('/no/such/folder'), 'ERR_CHECKPOINT', '/no/such/folder');
  });

  it('a file for a folder', async () => {
    const file = path.join(await checkpointFolder(), 'model.safetensors');
    await expectError(readCheckpoint(file), 'ERR_CHECKPOINT', file, 'received a file');
    await expectError(readCheckpoint(`${file}/x`), 'ERR_CHECKPOINT', `${file}/x`);
  });

  it('no config.json', async () => {
    const folder = await checkpointFolder({ 'config.json': undefined });
    await expectError(readCheckpoint(folder), 'ERR_CHECKPOINT', `${folder}/config.json`);
  });

  it('no weights', async () => {
    const folder = await checkpointFolder({ 'model.safetensors': undefined });
    await expectError(readCheckpoint(folder), 'ERR_CHECKPOINT', folder, 'found neither');
  });

  it.each(['config.json', 'generation_config.json', 'model.safetensors', indexName])(
    'a folder named %s',
    async (name) => {
      const files = name === indexName ? { 'model.safetensors': undefined } : {};
      const folder = await checkpointFolder({ ...files, [name]: undefined });
      execFileSync('mkdir', [path.join(folder, name)]);
      const place = path.join(folder, name);
      await expectError(readCheckpoint(folder), 'ERR_CHECKPOINT', place, 'a regular file');
    },
  );

  it('a pipe for the weights', async () => {
    const folder = await checkpointFolder({ 'model.safetensors': undefined });
    execFileSync('mkfifo', [path.join(folder, 'model.safetensors')]);
    await expectError(readCheckpoint(folder), 'ERR_CHECKPOINT', 'a regular file');
  });
});

describe('other formats', () => {
  it.each([
    ['pytorch_model.bin', 'safe_serialization=True'],
    ['pytorch_model.bin.index.json', 'safe_serialization=True'],
    ['tf_model.h5', 'from_tf=True'],
    ['flax_model.msgpack', 'from_flax=True'],
    ['adapter_model.safetensors', 'merge_and_unload'],
  ])('%s is refused with what to do', async (name, hint) => {
    const folder = await checkpointFolder({ 'model.safetensors': undefined, [name]: 'x' });
    await expectError(readCheckpoint(folder), 'ERR_CHECKPOINT', path.join(folder, name), hint);
  });

  it('pytorch_model.bin beside safetensors does not matter', async () => {
    const folder = await checkpointFolder({ 'pytorch_model.bin': 'x' });
    expect((await readCheckpoint(folder)).warnings).toEqual([]);
  });
});

describe('shards', () => {
  const [first, second, third] = tinyTensors.map((tensor) => [tensor]);
  const weight_map = {
    'shared.weight': 'a.safetensors',
    'encoder.block.0.layer.0.SelfAttention.q.weight': 'b.safetensors',
    'decoder.final_layer_norm.weight': 'b.safetensors',
  };
  const shards = {
    'config.json': tinyConfig,
    'a.safetensors': soundFile(first),
    'b.safetensors': soundFile([...(second ?? []), ...(third ?? [])]),
    [indexName]: { metadata: { total_size: 656 }, weight_map },
  };

  it('make one table', async () => {
    const folder = await tempFolder(shards);
    const { weights } = await readCheckpoint(folder);
    expect(weights.files).toEqual([
      path.join(folder, 'a.safetensors'),
      path.join(folder, 'b.safetensors'),
    ]);
    expect(weights.tensors.map((t) => [t.name, t.file])).toEqual([
      ['shared.weight', 0],
      ['encoder.block.0.layer.0.SelfAttention.q.weight', 1],
      ['decoder.final_layer_norm.weight', 1],
    ]);
  });

  it('give way to a single file', async () => {
    const folder = await tempFolder({ ...shards, 'model.safetensors': soundFile() });
    expect((await readCheckpoint(folder)).weights.files).toHaveLength(1);
  });

  const cases: [string, Record<string, unknown>, string[]][] = [
    ['an absent shard', { 'b.safetensors': undefined }, [indexName, 'b.safetensors, which is not']],
    ['an index that is not JSON', { [indexName]: '{' }, [indexName, 'expected JSON']],
    ['no map', { [indexName]: {} }, ['weight_map', 'received undefined']],
    ['an empty map', { [indexName]: { weight_map: {} } }, ['weight_map', 'received {}']],
    ['a map of lists', { [indexName]: { weight_map: [1] } }, ['weight_map', 'received [1]']],
    ['a number', { [indexName]: { weight_map: { x: 1 } } }, ['tensor "x"', 'received 1']],
    [
      'a shard in another folder',
      { [indexName]: { weight_map: { x: '../x.safetensors' } } },
      ['tensor "x"', 'plain name', '"../x.safetensors"'],
    ],
    [
      'an absolute path',
      { [indexName]: { weight_map: { x: '/etc/x.safetensors' } } },
      ['"/etc/x.safetensors"'],
    ],
    [
      'a backslash',
      { [indexName]: { weight_map: { x: '..\\x.safetensors' } } },
      ['plain name of a .safetensors file'],
    ],
    [
      'a tensor that is not in its shard',
      { [indexName]: { weight_map: { ...weight_map, x: 'a.safetensors' } } },
      ['a.safetensors: tensor "x": is missing'],
    ],
    [
      'a tensor in the wrong shard',
      { [indexName]: { weight_map: { ...weight_map, 'shared.weight': 'b.safetensors' } } },
      ['b.safetensors: tensor "shared.weight": is missing'],
    ],
    [
      'a tensor in two shards',
      { 'b.safetensors': soundFile(tinyTensors) },
      ['b.safetensors: tensor "shared.weight": is also in the shard a.safetensors'],
    ],
    [
      'a broken shard',
      { 'b.safetensors': 'x' },
      ['b.safetensors: expected a safetensors file, received one of 1 bytes'],
    ],
  ];
  it.each(cases)('%s', async (_, files, parts) => {
    const folder = await tempFolder({ ...shards, ...files });
    await expectError(readCheckpoint(folder), 'ERR_CHECKPOINT', folder, ...parts);
  });

  it('with a tensor that the index leaves out are read with a warning', async () => {
    const { 'decoder.final_layer_norm.weight': left, ...rest } = weight_map;
    const folder = await tempFolder({ ...shards, [indexName]: { weight_map: rest } });
    const { weights, warnings } = await readCheckpoint(folder);
    expect(left).toBeDefined();
    expect(weights.tensors).toHaveLength(3);
    expect(warnings).toEqual([
      `${folder}/b.safetensors: tensor "decoder.final_layer_norm.weight": is not in the index`,
    ]);
  });
});

describe('layouts', () => {
  const bias = (stack: string, layer: number) => ({
    name: `${stack}.block.${layer}.layer.0.SelfAttention.relative_attention_bias.weight`,
    dtype: 'F32',
    shape: [32, 2],
  });
  const everyBias = [
    bias('encoder', 0),
    bias('encoder', 1),
    bias('decoder', 0),
    bias('decoder', 1),
  ];
  const read = async (tensors: typeof tinyTensors, config: object = {}) =>
    readCheckpoint(
      await checkpointFolder({
        'config.json': { ...tinyConfig, ...config },
        'model.safetensors': soundFile(tensors),
      }),
    );

  it('a relative bias in every layer is seen in the tensors', async () => {
    const every = await read([...tinyTensors, ...everyBias]);
    expect(every.native.relativeBiasEveryLayer).toBe(true);
    const some = await read([...tinyTensors, ...everyBias.slice(0, 3)]);
    expect(some.native.relativeBiasEveryLayer).toBe(false);
  });

  it('a UMT5 has one by its type', async () => {
    expect((await read(tinyTensors, { model_type: 'umt5' })).native).toMatchObject({
      relativeBiasEveryLayer: true,
    });
  });

  it('one layer has one bias', async () => {
    const tensors = [...tinyTensors, bias('encoder', 0), bias('decoder', 0)];
    const { native } = await read(tensors, { num_layers: 1 });
    expect(native.relativeBiasEveryLayer).toBe(false);
  });

  it.each(['F64', 'I8'])('a model tensor of %s is refused', async (dtype) => {
    const tensor = { name: 'encoder.block.0.layer.1.DenseReluDense.wi.weight', dtype, shape: [2] };
    await expectError(
      read([...tinyTensors, tensor]),
      'ERR_CHECKPOINT',
      `tensor "${tensor.name}": expected dtype F32, F16 or BF16, received ${dtype}`,
    );
  });

  it('an unknown tensor of another dtype is left out with a warning', async () => {
    const tensor = { name: 'position_ids', dtype: 'I64', shape: [4] };
    const { weights, warnings } = await read([...tinyTensors, tensor]);
    expect(weights.tensors).toHaveLength(3);
    expect(warnings.join()).toContain('tensor "position_ids": not used (dtype I64)');
  });

  it('tensors of another kind of model are refused by name', async () => {
    await expectError(
      read([{ name: 'transformer.wte.weight', dtype: 'F32', shape: [2] }]),
      'ERR_CHECKPOINT',
      'expected the tensors of a T5 model',
      '"transformer.wte.weight"',
    );
  });

  it('an untied configuration without a head is a warning', async () => {
    const { warnings } = await read(tinyTensors, { tie_word_embeddings: false });
    expect(warnings.join()).toContain('there is no lm_head.weight');
  });

  it('an mT5 with a head that says it is tied is a warning', async () => {
    const head = { name: 'lm_head.weight', dtype: 'F32', shape: [16, 8] };
    const tensors = [...tinyTensors, head];
    const { warnings } = await read(tensors, { model_type: 'mt5' });
    expect(warnings.join()).toContain('set scale_decoder_outputs to false');
    const explicit = { model_type: 'mt5', scale_decoder_outputs: false };
    expect((await read(tensors, explicit)).warnings).toEqual([]);
  });

  it('settings of generation that are not applied are a warning, unless they change nothing', async () => {
    const neutral = { num_beams: 1, do_sample: false, suppress_tokens: [], max_length: 20 };
    const asked = { ...neutral, num_beams: 4, forced_bos_token_id: 2, bad_words_ids: [[3]] };
    const folder = (generation: object) =>
      checkpointFolder({ 'generation_config.json': { ...generation, eos_token_id: 1 } });
    expect((await readCheckpoint(await folder(neutral))).warnings).toEqual([]);
    const file = path.join(await folder(asked), 'generation_config.json');
    expect((await readCheckpoint(path.dirname(file))).warnings).toEqual([
      `${file}: not applied to outputs: num_beams (4), forced_bos_token_id (2), ` +
        'bad_words_ids (an array of 1)',
    ]);
  });
});
