/**
 * Files on their way: `NAME.KEY.OWNER.part`. KEY says which content the bytes belong to, OWNER
 * which thread of which process writes them, so that two never write to one file and the bytes of a
 * process that has gone can be taken over.
 */
import { createHash } from 'node:crypto';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { threadId } from 'node:worker_threads';

export interface PartialFile {
  file: string;
  key: string;
  bytes: number;
}

/** This thread, in the names of files that it alone writes. */
export const owner = `${process.pid}-${threadId}`;

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
    const match = /^(.+)\.([0-9a-f]{16}|unknown)\.(\d+)-(\d+)\.part$/.exec(entry);
    if (match?.[1] !== name || isForeign(`${match[3]}-${match[4]}`, Number(match[3]))) continue;
    const key = match[2] as string;
    const from = path.join(folder, entry);
    const bytes = (await stat(from).catch(() => null))?.size ?? 0;
    if (key === 'unknown' || bytes <= (best?.bytes ?? 0)) {
      await rm(from, { force: true });
      continue;
    }
    const file = partialPath(folder, name, key);
    if (from !== file) {
      // Another process may have been faster; then the part is its own.
      const claimed = await rename(from, file).then(
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

/** Whether a part belongs to another process or thread that may still be writing. */
function isForeign(partOwner: string, pid: number): boolean {
  if (partOwner === owner) return false;
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0); // sends nothing: asks whether the process exists
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
