/** Compressed files by their names: gzip, and Zstandard where this Node has it. */
import type { Transform } from 'node:stream';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { SpeccascadeError } from '../errors.ts';

export interface Compression {
  /** Members (frames) one after the other are one text. */
  decompressor: () => Transform;
  /** A member of its own; the same bytes for the same text. */
  compress: (text: Buffer) => Promise<Buffer>;
}

/** In Node since 22.15 and 23.8. */
interface Zstd {
  createZstdDecompress?: () => Transform;
  zstdCompress?: (text: Buffer, done: (error: Error | null, packed: Buffer) => void) => void;
}

const gzip: Compression = {
  decompressor: () => zlib.createGunzip(),
  compress: promisify<Buffer, Buffer>(zlib.gzip),
};

/** null: plain text. Throws ERR_INPUT for a form that this Node does not read and write. */
export function compressionOf(file: string): Compression | null {
  if (file.endsWith('.gz')) return gzip;
  if (!file.endsWith('.zst')) return null;
  const { createZstdDecompress, zstdCompress } = zlib as Zstd;
  if (createZstdDecompress === undefined || zstdCompress === undefined) {
    const problem = `.zst needs Node 22.15 or newer, this is ${process.version}; use .gz`;
    throw new SpeccascadeError('ERR_INPUT', `${file}: ${problem}`);
  }
  return { decompressor: createZstdDecompress, compress: promisify(zstdCompress) };
}
