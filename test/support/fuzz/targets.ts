/** The text of a checkpoint: what is fuzzed, from which sound files on, and what must hold after. */
import assert from 'node:assert/strict';
import type * as Activation from '../../../lib/checkpoint/activation.ts';
import type * as Config from '../../../lib/checkpoint/config.ts';
import type * as JsonFileModule from '../../../lib/checkpoint/json-file.ts';
import type * as Messages from '../../../lib/checkpoint/messages.ts';
import type * as Safetensors from '../../../lib/checkpoint/safetensors.ts';
import type * as Shards from '../../../lib/checkpoint/shards.ts';
import { soundFile, tinyConfig, tinyTensors } from '../checkpoint-parts.ts';
import type { Target } from './explore.ts';
import { instrument } from './instrument.ts';

const files = ['safetensors', 'shards', 'config', 'json-file', 'messages', 'activation'];

type Modules = [
  typeof Safetensors,
  typeof Shards,
  typeof Config,
  typeof JsonFileModule,
  typeof Messages,
  typeof Activation,
];

export interface TextTargets {
  targets: Target[];
  counters: Uint32Array;
}

/** Targets over instrumented copies of lib/checkpoint, and the counters of those. */
export async function textTargets(): Promise<TextTargets> {
  const { modules, counters } = await instrument(files.map((name) => `checkpoint/${name}.ts`));
  const parsers = modules as Modules;
  const targets = [fileTarget(parsers), headerTarget(parsers), indexTarget(parsers)];
  return { targets: [...targets, configTarget(parsers)], counters };
}

/** What `parse` accepts is true; an error of the package with one of the codes is false. */
function judge(codes: readonly string[], parse: () => void): boolean {
  try {
    parse();
    return true;
  } catch (error) {
    const { name, code, message } = error as { name: string; code: string; message: string };
    if (name !== 'SpeccascadeError' || !codes.includes(code)) throw error;
    // Names where it went wrong, and shows no more of a hostile file than a reader can take.
    assert.match(message, /^file/);
    assert.ok(message.length < 1500, `a message of ${message.length} characters`);
    return false;
  }
}

const dtypeBytes: Record<string, number> = { F32: 4, F16: 2, BF16: 2, I64: 8, U8: 1 };

/** What the native side relies on: the tensors tile the data, and shapes fill their bytes. */
function checkTable(
  tensors: ReturnType<typeof Safetensors.parseHeader>,
  begin: number,
  end: number,
): void {
  let at = begin;
  for (const tensor of tensors) {
    assert.equal(tensor.begin, at);
    assert.ok(tensor.end >= at && tensor.end <= end);
    const size = dtypeBytes[tensor.dtype];
    const elements = tensor.shape.reduce((product, length) => product * length, 1);
    if (size !== undefined) assert.equal(tensor.end - tensor.begin, elements * size);
    at = tensor.end;
  }
  assert.equal(at, end);
  assert.equal(new Set(tensors.map(({ name }) => name)).size, tensors.length);
}

const headerWords = [
  ...['F32', 'F16', 'BF16', 'F64', 'I8', 'U8', 'BOOL', 'F4', 'F8_E4M3', 'F6_E2M3', 'C64', 'f32'],
  ...['dtype', 'shape', 'data_offsets', '__metadata__', 'shared.weight', 'version '],
];

/** Whole files; bytes past the end of the input are tensor data. */
function fileTarget([{ headerLength, parseHeader }]: Modules): Target {
  return {
    name: 'file',
    seeds: [soundFile(), soundFile(tinyTensors, {}), new TextEncoder().encode('version https://')],
    words: headerWords,
    run: (input) =>
      judge(['ERR_CHECKPOINT'], () => {
        const bytes = new Uint8Array(Math.max(input.length, 8));
        bytes.set(input);
        const length = headerLength('file', bytes.subarray(0, 8), bytes.length);
        const tensors = parseHeader('file', bytes.subarray(8, 8 + length), bytes.length);
        checkTable(tensors, 8 + length, bytes.length);
      }),
  };
}

/** The JSON of a header before as many bytes of data as the sound one has. */
function headerTarget([{ headerLength, parseHeader }]: Modules): Target {
  const sound = soundFile();
  const length = headerLength('file', sound.subarray(0, 8), sound.length);
  const dataBytes = sound.length - 8 - length;
  return {
    name: 'header',
    seeds: [sound.subarray(8, 8 + length)],
    words: headerWords,
    run: (input) =>
      judge(['ERR_CHECKPOINT'], () => {
        const begin = 8 + input.length;
        checkTable(parseHeader('file', input, begin + dataBytes), begin, begin + dataBytes);
      }),
  };
}

function indexTarget([, { parseShardIndex }, , { parseJsonObject }, messages]: Modules): Target {
  const sound = {
    metadata: { total_size: 664 },
    weight_map: { a: 'x-1.safetensors', b: 'x-2.safetensors', c: 'x-1.safetensors' },
  };
  return {
    name: 'index',
    seeds: [encode(sound)],
    words: ['metadata', 'total_size', 'weight_map', '.safetensors', '../', '/', '\\', 'x', '..'],
    run: (input) =>
      judge(['ERR_CHECKPOINT'], () => {
        const value = parseJsonObject('file', input, messages.checkpointError);
        const { shards, shardOf, totalBytes } = parseShardIndex({ file: 'file', value });
        assert.ok(shards.length > 0 && shards.length <= 10_000);
        assert.deepEqual(new Set(shardOf.values()), new Set(shards));
        for (const shard of shards) assert.match(shard, /^\w[\w.-]*\.safetensors$/);
        assert.ok(totalBytes === null || (Number.isSafeInteger(totalBytes) && totalBytes > 0));
      }),
  };
}

const configWords = [
  ...['t5', 'mt5', 'umt5', 'byt5', 'codet5', 'bert', 'relu', 'gelu', 'gelu_new', 'gated-gelu'],
  ...['gated-silu', 'silu', 'tanh', 'architectures', 'T5ForConditionalGeneration'],
  ...['MT5ForConditionalGeneration', 'T5WithLMHeadModel', 'dense_act_fn', 'is_gated_act'],
  ...['hidden_size', 'head_dim', 'num_hidden_layers', 'num_attention_heads', 'num_decoder_layers'],
  ...['relative_attention_num_buckets', 'relative_attention_max_distance', 'layer_norm_epsilon'],
  ...['scale_decoder_outputs', 'quantization_config', 'quant_method', 'model_type'],
  ...['eos_token_id', 'pad_token_id', 'decoder_start_token_id', 'feed_forward_proj'],
];

/** {"config": ..., "generation": ...}: both files in one input. */
function configTarget(modules: Modules): Target {
  const [, , { parseConfig }, { parseJsonObject, isObject }, { configError }, activation] = modules;
  const generation = { eos_token_id: [1, 2], pad_token_id: 0, decoder_start_token_id: 0 };
  return {
    name: 'config',
    seeds: [
      encode({ config: tinyConfig }),
      encode({ config: {}, generation }),
      encode({ config: { ...tinyConfig, model_type: 'mt5' }, generation: {} }),
    ],
    words: configWords,
    run: (input) =>
      judge(['ERR_CONFIG'], () => {
        const both = parseJsonObject('file', input, configError);
        const part = (key: string) => {
          const value = Object.hasOwn(both, key) ? both[key] : null;
          return isObject(value) ? { file: `file ${key}`, value } : null;
        };
        const config = parseConfig(
          part('config') ?? { file: 'file', value: {} },
          part('generation'),
        );
        checkConfig(config);
        assert.notEqual(activation.activationOf(config.denseActFn), undefined);
      }),
  };
}

/** The ranges that native/model/config.cpp insists on. */
function checkConfig(config: Config.T5Config): void {
  const within = (value: number, low: number, high: number) =>
    assert.ok(Number.isInteger(value) && value >= low && value <= high, String(value));
  within(config.vocabSize, 1, 2 ** 22);
  within(config.dModel, 1, 2 ** 16);
  within(config.dKv, 1, 2 ** 12);
  within(config.dFf, 1, 2 ** 18);
  within(config.numHeads, 1, 2 ** 10);
  within(config.numLayers, 1, 2 ** 10);
  within(config.numDecoderLayers, 1, 2 ** 10);
  within(config.numHeads * config.dKv, 1, 2 ** 17);
  within(config.relativeAttentionNumBuckets, 4, 2 ** 12);
  within(config.relativeAttentionMaxDistance, 2, 2 ** 16);
  assert.ok(
    config.relativeAttentionMaxDistance > Math.floor(config.relativeAttentionNumBuckets / 2),
  );
  assert.ok(config.layerNormEpsilon > 0 && config.layerNormEpsilon <= 1);
  const ids = [...config.eosTokenIds, config.padTokenId, config.decoderStartTokenId];
  for (const id of ids) within(id, 0, config.vocabSize - 1);
  assert.ok(config.eosTokenIds.length > 0);
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
