/** The record beside a downloaded snapshot: what has arrived, and whether that is all. */
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { readFile, stat } from './disk.ts';
import { onDisk } from './hub-errors.ts';
import { owner } from './hub-partial.ts';
import { isObject } from './json-file.ts';

export interface Manifest {
  id: string;
  revision: string;
  /** The commit that `revision` meant when the download began; null if the hub did not say. */
  commit: string | null;
  complete: boolean;
  /** Finished files and their sizes in bytes. */
  files: Record<string, number>;
}

const manifestName = '.speccascade.json';

/** The record of a folder; an empty one where there is none or where it cannot be understood. */
export async function readManifest(
  folder: string,
  id: string,
  revision: string,
): Promise<Manifest> {
  const empty: Manifest = { id, revision, commit: null, complete: false, files: {} };
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path.join(folder, manifestName), 'utf8'));
  } catch {
    return empty;
  }
  if (!isObject(value) || value['id'] !== id || value['revision'] !== revision) return empty;
  const { commit, complete, files } = value;
  const present: Record<string, number> = {};
  for (const [name, bytes] of Object.entries(isObject(files) ? files : {})) {
    if (await hasSize(path.join(folder, name), bytes)) present[name] = bytes as number;
  }
  const all = isObject(files) && Object.keys(files).length === Object.keys(present).length;
  return {
    ...empty,
    commit: typeof commit === 'string' && /^[0-9a-f]{40}$/.test(commit) ? commit : null,
    complete: complete === true && all && Object.hasOwn(present, 'config.json'),
    files: present,
  };
}

/** Replaces the record in one step, so that a crash leaves the old one or the new one. */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const file = path.join(folder, manifestName);
  const draft = `${file}.${owner}`;
  await onDisk(file, async () => {
    await writeFile(draft, `${JSON.stringify(manifest, null, 2)}\n`);
    await rename(draft, file);
  });
}

async function hasSize(file: string, bytes: unknown): Promise<boolean> {
  const info = await stat(file).catch(() => null);
  return info !== null && info.isFile() && info.size === bytes;
}
