import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { SpeccascadeError } from '../errors.ts';

/**
 * Largest vocabulary file that is read, in bytes. The largest published one (a 256,000-piece
 * tokenizer.json) has 17 MB; the cap keeps a wrong file from filling the memory.
 */
const maxFileBytes = 128 * 2 ** 20;

/** An object parsed from JSON, not yet checked. */
export type JsonObject = Record<string, unknown>;

/** ERR_CHECKPOINT that names the file and what is wrong with it. */
export function damaged(file: string, reason: string, cause?: unknown): SpeccascadeError {
  return new SpeccascadeError('ERR_CHECKPOINT', `${file}: ${reason}`, { cause });
}

/** Whether a value parsed from JSON is an object: neither null nor an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** ERR_IO unless `folder` is a folder that can be looked into. */
export async function checkFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch((cause: unknown) => {
    throw new SpeccascadeError('ERR_IO', `cannot open the folder ${folder}`, { cause });
  });
  if (!found.isDirectory()) throw new SpeccascadeError('ERR_IO', `${folder} is not a folder`);
}

/**
 * The bytes of `folder/name`, or null where there is no such file.
 * Throws ERR_IO when it cannot be read and ERR_CHECKPOINT when it is too large for its kind.
 */
export async function readBytes(folder: string, name: string): Promise<Uint8Array | null> {
  const file = path.join(folder, name);
  try {
    const { size } = await stat(file);
    if (size > maxFileBytes) {
      throw damaged(file, `${size} bytes is more than a vocabulary file can have`);
    }
    return await readFile(file);
  } catch (cause) {
    if (cause instanceof SpeccascadeError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    throw new SpeccascadeError('ERR_IO', `cannot read ${file}`, { cause });
  }
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
