/** The files of a vocabulary: bounded reading, and the error of a damaged one. */
import path from 'node:path';
import {
  fileSize,
  isObject,
  readBytes as readRange,
  type JsonObject,
} from '../checkpoint/json-file.ts';
import { SpeccascadeError } from '../errors.ts';

export { isObject, type JsonObject };

/**
 * Largest vocabulary file that is read, in bytes. The largest published one (a 256,000-piece
 * tokenizer.json) has 17 MB; the cap keeps a wrong file from filling the memory.
 */
const maxFileBytes = 128 * 2 ** 20;

/** ERR_CHECKPOINT that names the file and what is wrong with it. */
export function damaged(file: string, reason: string, cause?: unknown): SpeccascadeError {
  return new SpeccascadeError('ERR_CHECKPOINT', `${file}: ${reason}`, { cause });
}

/**
 * The bytes of `folder/name`, or null where there is no such file.
 * Throws ERR_CHECKPOINT when it cannot be read, is no regular file or is too large for its kind.
 */
export async function readBytes(folder: string, name: string): Promise<Uint8Array | null> {
  const file = path.join(folder, name);
  const size = await fileSize(file);
  if (size === null) return null;
  if (size > maxFileBytes) {
    throw damaged(file, `${size} bytes is more than a vocabulary file can have`);
  }
  return readRange(file, 0, size);
}

/** The text of `folder/name` (UTF-8), or null where there is no such file. Errors as in `readBytes`. */
export async function readText(folder: string, name: string): Promise<string | null> {
  const bytes = await readBytes(folder, name);
  if (bytes === null) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw damaged(path.join(folder, name), 'not valid UTF-8', cause);
  }
}

/** The JSON object in `folder/name`, or null where there is no such file. Errors as in `readBytes`. */
export async function readJson(folder: string, name: string): Promise<JsonObject | null> {
  const text = await readText(folder, name);
  if (text === null) return null;
  const file = path.join(folder, name);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged(file, `not valid JSON (${(cause as Error).message})`, cause);
  }
  if (!isObject(value)) throw damaged(file, 'not a JSON object');
  return value;
}
