/**
 * The golden checkpoints: packed in the tree (test/golden/README.md), unpacked under build-cmake for
 * whoever loads them.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';

const root = fileURLToPath(new URL('../..', import.meta.url));
const planes = 4;

export function packedFolder(name: string): string {
  return path.join(root, 'test', 'golden', name);
}

/** Compressed with all first bytes of 32-bit words before all second ones: exponents lie together. */
export function packWeights(bytes: Uint8Array): Buffer {
  if (bytes.length % planes !== 0) throw new Error(`${bytes.length} bytes are not 32-bit words`);
  const words = bytes.length / planes;
  const sorted = Uint8Array.from(
    bytes,
    (_, i) => bytes[(i % words) * planes + Math.floor(i / words)]!,
  );
  // Random weights repeat nothing: what can be saved is in how often a byte occurs.
  return brotliCompressSync(sorted, {
    params: {
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: sorted.length,
    },
  });
}

export function unpackWeights(packed: Uint8Array): Uint8Array {
  const sorted = brotliDecompressSync(packed);
  const words = sorted.length / planes;
  return Uint8Array.from(sorted, (_, i) => sorted[(i % planes) * words + Math.floor(i / planes)]!);
}

const unpacked = new Map<string, string>();

/** The folder of a golden checkpoint as one publishes them. */
export function goldenFolder(name: string): string {
  let folder = unpacked.get(name);
  if (folder === undefined) {
    const from = packedFolder(name);
    folder = path.join(root, 'build-cmake', 'golden', name);
    mkdirSync(folder, { recursive: true });
    replace(path.join(folder, 'config.json'), readFileSync(path.join(from, 'config.json')));
    const weights = unpackWeights(readFileSync(path.join(from, 'model.safetensors.planes.br')));
    replace(path.join(folder, 'model.safetensors'), weights);
    unpacked.set(name, folder);
  }
  return folder;
}

/** In one step, since other processes may be loading what is there. */
function replace(file: string, content: Uint8Array): void {
  const fresh = `${file}.${process.pid}`;
  writeFileSync(fresh, content);
  renameSync(fresh, file);
}
