/**
 * Files on their way: `NAME.KEY.OWNER.part`. KEY says which content the bytes belong to, OWNER
 * which thread of which process on which host writes them, so that two never write to one file and
 * the bytes of a process that has gone can be taken over.
 */
import { createHash } from 'node:crypto';
import { readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { threadId } from 'node:worker_threads';

export interface PartialFile {
  file: string;
  key: string;
  bytes: number;
}

/** A container is a host of its own, in which process ids begin anew. */
const host = os.hostname().replace(/[^\w-]/g, '_');

/** This thread, in the names of files that it alone writes. */
export const owner = `${host}-${process.pid}-${threadId}`;

const partName = /^(.+)\.([0-9a-f]{16}|unknown)\.(([\w-]*)-(\d+)-\d+)\.part$/;

/** After so long without a byte nobody writes any more: twice what fetch waits for one. */
const abandonedMs = 10 * 60_000;

/** Identifies a file's content by the hub's etag; null where there is none to go by. */
export function contentKey(etag: string | null): string | null {
  return etag === null ? null : createHash('sha256').update(etag).digest('hex').slice(0, 16);
}

/** Path for the bytes of a new download by this process. */
export function partialPath(folder: string, name: string, key: string | null): string {
  return path.join(folder, `${name}.${key ?? 'unknown'}.${owner}.part`);
}

/** Takes over the longest resumable part of `name`, removing others that nobody writes to. */
export async function claimPartial(folder: string, name: string): Promise<PartialFile | null> {
  let best: PartialFile | null = null;
  for (const entry of await readdir(folder)) {
    const [, of, key = '', by = '', at = '', pid = ''] = partName.exec(entry) ?? [];
    if (of !== name) continue;
    const from = path.join(folder, entry);
    const info = await stat(from).catch(() => null);
    if (info === null || (by !== owner && mayBeWritten(at, Number(pid), info.mtimeMs))) continue;
    const bytes = info.size;
    if (key === 'unknown' || bytes <= (best?.bytes ?? 0)) {
      await rm(from, { force: true });
      continue;
    }
    const file = partialPath(folder, name, key);
    if (from !== file) {
      // Another process may have been faster; then the part is its own.
      const claimed = await touch(from)
        .then(() => rename(from, file))
        .then(
          () => true,
          () => false,
        );
      if (!claimed) continue;
    }
    if (best !== null && best.file !== file) await rm(best.file, { force: true });
    best = { file, key, bytes };
  }
  return best;
}

/** So that nobody else takes it for abandoned before the first byte. */
function touch(file: string): Promise<void> {
  const now = new Date();
  return utimes(file, now, now);
}

/**
 * Whether another process or thread may still be writing a part. That there is a process of its id
 * says little of an old one: ids begin anew, in a container with every start.
 */
function mayBeWritten(partHost: string, pid: number, lastMs: number): boolean {
  if (Date.now() - lastMs >= abandonedMs) return false;
  if (partHost !== host || pid === process.pid) return true;
  try {
    process.kill(pid, 0); // sends nothing: asks whether the process exists
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
