/** Tables of bigrams in files, compressed where their names say so. */
import { createReadStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { compressionOf } from '../batch/compression.ts';
import { readBigrams, writeBigrams } from '../drafters/bigrams.ts';

/** Throws ERR_INPUT for what is no table, and whatever reading throws. */
export async function loadBigrams(file: string): Promise<Int32Array> {
  const compression = compressionOf(file);
  if (compression === null) return readBigrams(await readFile(file));
  const text = compression.decompressor();
  const [bytes] = await Promise.all([buffer(text), pipeline(createReadStream(file), text)]);
  return readBigrams(bytes);
}

export async function saveBigrams(file: string, next: Int32Array): Promise<void> {
  const bytes = writeBigrams(next);
  await writeFile(file, (await compressionOf(file)?.compress(bytes)) ?? bytes);
}
