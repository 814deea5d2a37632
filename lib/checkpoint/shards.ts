/** model.safetensors.index.json: which shard holds which tensor. */
import { isObject, readJsonObject, type JsonFile, type JsonObject } from './json-file.ts';
import { checkpointError, show } from './messages.ts';

/** Largest index that is read, in bytes; the largest published T5 has one of 100 kB. */
const maxIndexBytes = 32 * 2 ** 20;

const maxShards = 10_000;

export interface ShardIndex {
  /** Shard names in order of first mention: plain names of files beside the index. */
  shards: string[];
  /** Tensor name -> shard name. */
  shardOf: Map<string, string>;
  /** Bytes of all tensors, as the index claims; null where it does not. For progress only. */
  totalBytes: number | null;
}

/** Reads the index; null where there is none. A broken one is ERR_CHECKPOINT. */
export async function readShardIndex(file: string): Promise<ShardIndex | null> {
  const index = await readJsonObject(file, maxIndexBytes, checkpointError);
  return index === null ? null : parseShardIndex(index);
}

/** Validates a parsed index; a shard name that leaves the folder is refused. */
export function parseShardIndex({ file, value }: JsonFile): ShardIndex {
  const map = Object.hasOwn(value, 'weight_map') ? value['weight_map'] : undefined;
  if (!isObject(map) || Object.keys(map).length === 0) {
    throw checkpointError(
      `${file}: weight_map`,
      `expected an object of tensor names to file names, received ${show(map)}`,
    );
  }
  const shardOf = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(map)) {
    if (!isShardName(shard)) {
      throw checkpointError(
        `${file}: weight_map: tensor ${show(tensor)}`,
        `expected the plain name of a .safetensors file in the same folder, received ${show(shard)}`,
      );
    }
    shardOf.set(tensor, shard);
  }
  const shards = [...new Set(shardOf.values())];
  if (shards.length > maxShards) {
    throw checkpointError(file, `expected at most ${maxShards} shards, received ${shards.length}`);
  }
  return { shards, shardOf, totalBytes: totalBytes(value) };
}

function totalBytes(index: JsonObject): number | null {
  const metadata = Object.hasOwn(index, 'metadata') ? index['metadata'] : undefined;
  const total = isObject(metadata) ? metadata['total_size'] : undefined;
  return typeof total === 'number' && Number.isSafeInteger(total) && total > 0 ? total : null;
}

function isShardName(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9_][\w.-]{0,200}\.safetensors$/.test(value);
}
