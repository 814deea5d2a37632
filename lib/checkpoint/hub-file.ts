/** Downloads one file: resumed after a cut, size and checksum compared, renamed into place last. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { downloadError, onDisk, throwIfAborted, TransientError } from './hub-errors.ts';
import { claimPartial, contentKey, partialPath, type PartialFile } from './hub-partial.ts';
import { reasonOf, requestFile, type HubAnswer, type Remote } from './hub-request.ts';

/** A finished file. */
interface DownloadedFile {
  bytes: number;
  /** The commit the hub took the file from; null where it does not say. */
  commit: string | null;
}

/** Called with the bytes so far and the expected total (null: unknown). */
type OnBytes = (done: number, total: number | null) => void;

/** Attempts in a row that bring no byte before giving up. */
const maxFailures = 4;
const firstPauseMs = 200;

/** Downloads `name` into `folder`; null if the hub has no such file. */
export async function downloadFile(
  remote: Remote,
  folder: string,
  name: string,
  onBytes: OnBytes,
): Promise<DownloadedFile | null> {
  for (let failures = 0; ;) {
    const partial = await onDisk(folder, () => claimPartial(folder, name));
    try {
      return await attempt(remote, folder, name, partial, onBytes);
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      failures = error.progressed ? 1 : failures + 1;
      if (failures >= maxFailures) throw downloadError(remote.id, error.message, error.cause);
    }
    const pause = firstPauseMs * 2 ** (failures - 1);
    await sleep(pause, undefined, remote.signal ? { signal: remote.signal } : {}).catch(() => {});
    throwIfAborted(remote.signal);
  }
}

async function attempt(
  remote: Remote,
  folder: string,
  name: string,
  partial: PartialFile | null,
  onBytes: OnBytes,
): Promise<DownloadedFile | null> {
  const answer = await requestFile(remote, name, { offset: partial?.bytes ?? 0 });
  const { response, facts, label } = answer;
  if (response.status === 404) {
    await response.body?.cancel();
    return null;
  }
  const key = contentKey(facts.etag);
  const whole = isWhole(response, partial, key);
  const resumed = whole || goesOn(response, partial, key);
  if (partial !== null && !resumed) await remove(partial.file);
  if (response.status !== 200 && !resumed) {
    await response.body?.cancel();
    throw new TransientError(`${label} has changed since the first part was read`, false);
  }
  const transfer: Transfer = {
    file: partialPath(folder, name, key),
    offset: resumed && partial !== null ? partial.bytes : 0,
    total: expectedBytes(answer),
    sha256: facts.sha256,
  };
  if (whole) await response.body?.cancel();
  const received = whole ? transfer.offset : await receive(remote, answer, transfer, onBytes);
  const bytes = await checked(remote, label, transfer, received);
  await onDisk(folder, async () => {
    if (name.endsWith('.json')) await checkJson(remote, transfer.file, label);
    await rename(transfer.file, path.join(folder, name));
  });
  return { bytes, commit: facts.commit };
}

/** Whether a partial answer goes on exactly where our part of the same content ends. */
function goesOn(response: Response, partial: PartialFile | null, key: string | null): boolean {
  if (response.status !== 206) return false;
  const range = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '');
  return partial !== null && partial.key === key && Number(range?.[1]) === partial.bytes;
}

/** Whether there is no more of the content than our part has: it was cut off before its new name. */
function isWhole(response: Response, partial: PartialFile | null, key: string | null): boolean {
  if (response.status !== 416) return false;
  const [, size] = /^bytes \*\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? [];
  return partial !== null && partial.key === key && Number(size) === partial.bytes;
}

function expectedBytes({ response, facts }: HubAnswer): number | null {
  if (facts.size !== null) return facts.size;
  if (response.headers.get('content-encoding') !== null) return null;
  const told =
    response.status !== 200
      ? /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1]
      : response.headers.get('content-length');
  return told === undefined || told === null ? null : Number(told);
}

interface Transfer {
  file: string;
  /** Bytes that are there already. */
  offset: number;
  /** Bytes of the whole file; null: unknown. */
  total: number | null;
  sha256: string | null;
}

/** Writes the body behind the offset; returns how many bytes there should be now. */
async function receive(
  remote: Remote,
  answer: HubAnswer,
  transfer: Transfer,
  onBytes: OnBytes,
): Promise<number> {
  const { file, offset } = transfer;
  const handle = await onDisk(file, () => open(file, offset > 0 ? 'a' : 'w'));
  try {
    const received = await copyBody(remote, answer, transfer, handle, onBytes);
    await onDisk(file, () => handle.sync());
    return received;
  } finally {
    await handle.close();
  }
}

/** The size of a file of which `received` bytes have come, if size and checksum are right. */
async function checked(
  remote: Remote,
  label: string,
  { file, offset, total, sha256 }: Transfer,
  received: number,
): Promise<number> {
  // Of the file, not of what was received: nobody else should have written to it, but may have.
  const { size } = await onDisk(file, () => stat(file));
  const digest = sha256 === null ? null : await hashOf(file);
  const expected = total ?? received;
  if (size === expected && digest === sha256) return size;
  const problem =
    digest === sha256
      ? `${label}: expected ${expected} bytes, received ${size}`
      : `${label}: expected the SHA-256 checksum ${sha256}, received ${digest}`;
  await remove(file);
  // What an earlier run left may have been damaged: once more, from the start.
  if (offset > 0) throw new TransientError(problem, false);
  throw downloadError(remote.id, problem);
}

async function copyBody(
  remote: Remote,
  { response, label }: HubAnswer,
  { file, offset, total }: Transfer,
  handle: FileHandle,
  onBytes: OnBytes,
): Promise<number> {
  const reader = response.body?.getReader();
  let bytes = offset;
  try {
    for (;;) {
      const chunk = await readChunk(remote, reader, label, bytes > offset);
      if (chunk === null) break;
      await onDisk(file, () => handle.writeFile(chunk));
      bytes += chunk.length;
      if (total !== null && bytes > total) break;
      onBytes(bytes, total);
    }
  } finally {
    await reader?.cancel().catch(() => {});
  }
  if (total !== null && bytes < total) {
    throw new TransientError(`${label} ended after ${bytes} of ${total} bytes`, bytes > offset);
  }
  return bytes;
}

async function readChunk(
  remote: Remote,
  reader: ReadableStreamDefaultReader<Uint8Array> | undefined,
  label: string,
  progressed: boolean,
): Promise<Uint8Array | null> {
  try {
    const { value } = (await reader?.read()) ?? {};
    return value ?? null;
  } catch (error) {
    throwIfAborted(remote.signal);
    throw new TransientError(`${label} was cut off: ${reasonOf(error)}`, progressed, error);
  }
}

function hashOf(file: string): Promise<string> {
  return onDisk(file, async () => {
    const hash = createHash('sha256');
    const stream: AsyncIterable<Uint8Array> = createReadStream(file);
    for await (const chunk of stream) hash.update(chunk);
    return hash.digest('hex');
  });
}

function remove(file: string): Promise<void> {
  return onDisk(file, () => rm(file, { force: true }));
}

/** A login page served in place of a file must not enter the cache. */
async function checkJson(remote: Remote, file: string, label: string): Promise<void> {
  try {
    JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    await remove(file);
    throw downloadError(remote.id, `${label}: expected JSON, received ${error.message}`, error);
  }
}
