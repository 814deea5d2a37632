/** Finds the weights of a folder and makes one tensor table of them. */
import path from 'node:path';
import { stat } from './disk.ts';
import { checkpointError, show } from './messages.ts';
import { readSafetensors } from './safetensors.ts';
import { readShardIndex, type ShardIndex } from './shards.ts';
import type { TensorEntry } from './tensor-entry.ts';

/** A tensor and the position of its file in `files`. */
export interface LocatedTensor extends TensorEntry {
  file: number;
}

export interface WeightTable {
  /** Absolute paths. */
  files: string[];
  tensors: LocatedTensor[];
  warnings: string[];
}

export const singleName = 'model.safetensors';
export const indexName = 'model.safetensors.index.json';

/** Weights in formats that are not read: how their files get to safetensors. */
export const foreignWeights: Readonly<Record<string, (from: string, to: string) => string>> = {
  'pytorch_model.bin': convert(''),
  'pytorch_model.bin.index.json': convert(''),
  'tf_model.h5': convert(', from_tf=True', ' (needs transformers 4 and tensorflow)'),
  'flax_model.msgpack': convert(', from_flax=True', ' (needs transformers 4 and flax)'),
  'adapter_model.safetensors': () =>
    'an adapter without its base model; merge the two with peft (merge_and_unload) and save that',
};

function convert(option: string, note = ''): (from: string, to: string) => string {
  return (from, to) =>
    `convert it once with${note}: python -c "from transformers import AutoModelForSeq2SeqLM as M; ` +
    `M.from_pretrained('${from}'${option}).save_pretrained('${to}', safe_serialization=True)"`;
}

/** The refusal of a weights file in another format; `from` and `to` go into the conversion. */
export function foreignError(where: string, name: string, from: string, to: string): Error {
  const hint = foreignWeights[name]?.(from, to) ?? '';
  return checkpointError(where, `expected safetensors, received ${name}: ${hint}`);
}

/** Reads the tables of `model.safetensors` or, where that is absent, of all shards of the index. */
export async function readWeights(folder: string): Promise<WeightTable> {
  const single = path.join(folder, singleName);
  const tensors = await readSafetensors(single);
  if (tensors !== null) {
    return { files: [single], tensors: tensors.map((t) => ({ ...t, file: 0 })), warnings: [] };
  }
  const indexFile = path.join(folder, indexName);
  const index = await readShardIndex(indexFile);
  if (index !== null) return readShards(folder, indexFile, index);
  for (const name of Object.keys(foreignWeights)) {
    const file = path.join(folder, name);
    if (await exists(file)) throw foreignError(file, name, folder, folder);
  }
  throw checkpointError(folder, `expected ${singleName} or ${indexName}, found neither`);
}

async function readShards(
  folder: string,
  indexFile: string,
  { shards, shardOf }: ShardIndex,
): Promise<WeightTable> {
  const table: WeightTable = { files: [], tensors: [], warnings: [] };
  const seen = new Map<string, string>();
  for (const [file, shard] of shards.entries()) {
    const shardFile = path.join(folder, shard);
    const tensors = await readSafetensors(shardFile);
    if (tensors === null) {
      throw checkpointError(indexFile, `names the shard ${shard}, which is not in the folder`);
    }
    table.files.push(shardFile);
    for (const tensor of tensors) {
      const where = `${shardFile}: tensor ${show(tensor.name)}`;
      const first = seen.get(tensor.name);
      if (first !== undefined) throw checkpointError(where, `is also in the shard ${first}`);
      seen.set(tensor.name, shard);
      if (!shardOf.has(tensor.name)) table.warnings.push(`${where}: is not in the index`);
      table.tensors.push({ ...tensor, file });
    }
  }
  for (const [tensor, shard] of shardOf) {
    if (seen.get(tensor) === shard) continue;
    const where = `${path.join(folder, shard)}: tensor ${show(tensor)}`;
    throw checkpointError(
      where,
      `is missing, although ${path.basename(indexFile)} places it there`,
    );
  }
  return table;
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
