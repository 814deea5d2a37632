/** Bounded reading of the files of a checkpoint, of JSON above all. */
import { readRange, stat } from './disk.ts';
import { checkpointError, configError, show, systemCode } from './messages.ts';

export interface JsonObject {
  [key: string]: unknown;
}

/** A parsed JSON object and the file it came from, for messages. */
export interface JsonFile {
  file: string;
  value: JsonObject;
}

/** Throws ERR_CHECKPOINT unless `folder` is one. */
export async function checkFolder(folder: string): Promise<void> {
  let info;
  try {
    info = await stat(folder);
  } catch (cause) {
    const code = systemCode(cause);
    const absent = code === 'ENOENT' || code === 'ENOTDIR';
    throw checkpointError(folder, absent ? 'no such folder' : `cannot be read (${code})`, cause);
  }
  if (!info.isDirectory()) {
    throw checkpointError(folder, 'expected the folder of a checkpoint, received a file');
  }
}

/**
 * Size in bytes of a regular file; null where nothing has that name.
 * Anything else (a folder, a pipe, no permission) is ERR_CHECKPOINT: opening a pipe would hang.
 */
export async function fileSize(file: string): Promise<number | null> {
  let info;
  try {
    info = await stat(file);
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(cause))) return null;
    throw checkpointError(file, `cannot be read (${systemCode(cause)})`, cause);
  }
  if (!info.isFile()) throw checkpointError(file, 'expected a regular file');
  return info.size;
}

/**
 * Reads `size` bytes from `position`; a file that ends before is ERR_CHECKPOINT.
 * The caller has compared `size` with the file's own size: this allocates `size` bytes.
 */
export async function readBytes(file: string, position: number, size: number): Promise<Uint8Array> {
  let bytes;
  try {
    bytes = await readRange(file, position, size);
  } catch (cause) {
    throw checkpointError(file, `cannot be read (${systemCode(cause) || String(cause)})`, cause);
  }
  if (bytes.length < size) throw checkpointError(file, 'ended while it was being read');
  return bytes;
}

/**
 * Reads a JSON object of at most `limit` bytes; null where the file is absent.
 * A file that cannot be read is ERR_CHECKPOINT; one that is too large, not UTF-8 or not a
 * JSON object is `syntaxError` (ERR_CONFIG unless told otherwise).
 */
export async function readJsonObject(
  file: string,
  limit: number,
  syntaxError: typeof configError = configError,
): Promise<JsonFile | null> {
  const size = await fileSize(file);
  if (size === null) return null;
  if (size > limit) throw syntaxError(file, `expected at most ${limit} bytes, received ${size}`);
  return { file, value: parseJsonObject(file, await readBytes(file, 0, size), syntaxError) };
}

/** Parses bytes as a JSON object, or throws `syntaxError` naming `where`. */
export function parseJsonObject(
  where: string,
  bytes: Uint8Array,
  syntaxError: typeof configError,
): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw syntaxError(where, `expected JSON, received ${(cause as Error).message}`, cause);
  }
  if (!isObject(value)) throw syntaxError(where, `expected a JSON object, received ${show(value)}`);
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
