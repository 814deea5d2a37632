/** Small checkpoints, sound and broken, in temporary folders. */
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect } from 'vitest';
import { SpeccascadeError, type ErrorCode } from '../../lib/errors.ts';
import { soundFile, tinyConfig } from './checkpoint-parts.ts';

export * from './checkpoint-parts.ts';

/** Files of a folder: text and bytes as they are, everything else as JSON; null: a folder. */
export type Files = Record<string, unknown>;

/** The sound tiny checkpoint with some files replaced; `undefined` leaves a file out. */
export async function checkpointFolder(files: Files = {}): Promise<string> {
  return tempFolder({ 'config.json': tinyConfig, 'model.safetensors': soundFile(), ...files });
}

const folders: string[] = [];

/** A temporary folder with these files; removed when the test file ends. */
export async function tempFolder(files: Files = {}): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'speccascade-test-'));
  folders.push(folder);
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(folder, name);
    if (content === undefined) continue;
    if (content === null) await mkdir(file, { recursive: true });
    else if (typeof content === 'string' || content instanceof Uint8Array) {
      await writeFile(file, content);
    } else await writeFile(file, JSON.stringify(content));
  }
  return folder;
}

afterAll(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** Expects a rejection with this code and all these parts in its message; returns the error. */
export async function expectError(
  promise: Promise<unknown>,
  code: ErrorCode,
  ...parts: string[]
): Promise<SpeccascadeError> {
  const error: unknown = await promise.then(
    (value) => expect.fail(`expected ${code}, got ${JSON.stringify(value)?.slice(0, 200)}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof SpeccascadeError)) throw error;
  expect.soft(error.code, error.message).toBe(code);
  for (const part of parts) expect(error.message).toContain(part);
  return error;
}
