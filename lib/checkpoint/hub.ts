/**
 * From what the caller names as a model to a folder on disk. Ids of a hub are downloaded here
 * rather than by the hub's own package, which has no progress, no AbortSignal, no resumption and
 * no checksums, and which can only take a snapshot of everything in all formats.
 */
import { mkdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { SpeccascadeError } from '../errors.ts';
import { stat } from './disk.ts';
import { onDisk, throwIfAborted } from './hub-errors.ts';
import { readManifest, type Manifest } from './hub-manifest.ts';
import { DownloadProgress, type DownloadReport } from './hub-progress.ts';
import type { Remote } from './hub-request.ts';
import { downloadSnapshot } from './hub-snapshot.ts';
import { checkpointError, show } from './messages.ts';

export interface ResolveOptions {
  /** Where downloads are kept; default: `defaultCacheDir()`. */
  cacheDir?: string | undefined;
  /** Branch, tag or commit of a hub model; default: 'main'. */
  revision?: string | undefined;
  /** Whether what looks like a misspelt path is the id of a model all the same; default: not. */
  asId?: boolean;
  signal?: AbortSignal | undefined;
  onProgress?: ((report: DownloadReport) => void) | undefined;
}

/** $SPECCASCADE_CACHE, else `speccascade` in $XDG_CACHE_HOME or in ~/.cache. */
export function defaultCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env['SPECCASCADE_CACHE']) return path.resolve(env['SPECCASCADE_CACHE']);
  const xdg = env['XDG_CACHE_HOME'];
  const base = xdg && path.isAbsolute(xdg) ? xdg : path.join(os.homedir(), '.cache');
  return path.join(base, 'speccascade');
}

/**
 * The folder of a model. `source` is a path (it exists, or starts with `.`, `/`, `~`), which is
 * returned as it is, or the id of a hub model (`name` or `owner/name`), which is downloaded from
 * $HF_ENDPOINT (default https://huggingface.co) with $HF_TOKEN, if set. A snapshot that is
 * complete in the cache is used as it is, without any network traffic. Where the first part of an id
 * is a folder here, it is more likely a path with a mistake in it: nothing is downloaded then.
 *
 * Errors: ERR_INPUT (neither a path nor an id), ERR_DOWNLOAD (status and URL path),
 * ERR_CHECKPOINT (a misspelt path; no safetensors), ERR_IO (the cache folder), ERR_ABORTED.
 */
export async function resolveSource(source: string, options: ResolveOptions = {}): Promise<string> {
  throwIfAborted(options.signal);
  const folder = await localFolder(source);
  if (folder !== null) return folder;
  const revision = options.revision ?? 'main';
  checkId(source);
  checkRevision(revision);
  const remote: Remote = {
    endpoint: endpoint(),
    id: source,
    revision,
    token: process.env['HF_TOKEN'] || undefined,
    signal: options.signal,
  };
  const cacheDir = path.resolve(options.cacheDir ?? defaultCacheDir());
  const target = path.join(cacheDir, source.replace('/', '--'), encodeURIComponent(revision));
  const progress = new DownloadProgress(options.onProgress ?? (() => {}));
  await alone(target, options.signal, async () => {
    throwIfAborted(remote.signal);
    const manifest = await readManifest(target, remote.id, revision);
    if (manifest.complete) return;
    if (options.asId !== true) await checkNoPath(source);
    await completeSnapshot(remote, target, manifest, progress);
  });
  return target;
}

async function completeSnapshot(
  remote: Remote,
  target: string,
  manifest: Manifest,
  progress: DownloadProgress,
): Promise<void> {
  await onDisk(target, () => mkdir(target, { recursive: true }));
  await downloadSnapshot(remote, target, manifest, progress);
}

/** The path that `source` is; null if it can only be an id. */
async function localFolder(source: string): Promise<string | null> {
  if (typeof source !== 'string' || source === '' || source.includes('\0')) {
    throw badSource(source);
  }
  if (source === '~' || source.startsWith('~/')) return path.join(os.homedir(), source.slice(1));
  const isPath = /^\.{0,2}[/\\]/.test(source) || source === '.' || source === '..';
  if (isPath || path.isAbsolute(source)) return path.resolve(source);
  const there = await stat(source).then(
    () => true,
    () => false,
  );
  return there ? path.resolve(source) : null;
}

/** Throws ERR_CHECKPOINT for an id that begins with a folder of this machine. */
async function checkNoPath(id: string): Promise<void> {
  const [first = '', name] = id.split('/');
  if (name === undefined) return;
  const parent = await stat(first).catch(() => null);
  if (parent === null || !parent.isDirectory()) return;
  throw checkpointError(
    id,
    `no such folder (${first} is one, so this was not taken for a hub id; if it is one, ` +
      `"speccascade download ${id}" fetches it, and it is found from then on)`,
  );
}

function checkId(id: string): void {
  const isId = /^[A-Za-z0-9][\w.-]{0,95}(?:\/[A-Za-z0-9][\w.-]{0,95})?$/.test(id);
  if (!isId || /--|\.\./.test(id)) throw badSource(id);
}

function badSource(source: unknown): SpeccascadeError {
  return new SpeccascadeError(
    'ERR_INPUT',
    `model: expected a folder that exists or a hub id ("name" or "owner/name"), ` +
      `received ${show(source)}`,
  );
}

function checkRevision(revision: unknown): void {
  const ok = typeof revision === 'string' && /^\w[\w./-]{0,199}$/.test(revision);
  if (ok && !/\.\.|\/\/|\/$/.test(revision)) return;
  throw new SpeccascadeError(
    'ERR_INPUT',
    `revision: expected a branch, a tag or a commit, received ${show(revision)}`,
  );
}

function endpoint(): string {
  const value = process.env['HF_ENDPOINT'] || 'https://huggingface.co';
  if (!/^https?:\/\//.test(value) || !URL.canParse(value)) {
    throw new SpeccascadeError(
      'ERR_INPUT',
      `HF_ENDPOINT: expected an http or https URL, received ${show(value)}`,
    );
  }
  return value.replace(/\/+$/, '');
}

const busy = new Map<string, Promise<unknown>>();

/** Runs tasks on one folder one after the other: the second finds what the first has fetched. */
async function alone(
  folder: string,
  signal: AbortSignal | undefined,
  task: () => Promise<void>,
): Promise<void> {
  const before = busy.get(folder) ?? Promise.resolve();
  const mine = untilAborted(before, signal).then(task);
  // A waiting task that is aborted ends early; the next must still wait for the one at work.
  const both = Promise.allSettled([before, mine]);
  busy.set(folder, both);
  try {
    await mine;
  } finally {
    if (busy.get(folder) === both) void both.then(() => forget(folder, both));
  }
}

function forget(folder: string, last: Promise<unknown>): void {
  if (busy.get(folder) === last) busy.delete(folder);
}

async function untilAborted(turn: Promise<unknown>, signal?: AbortSignal): Promise<void> {
  if (signal === undefined) return void (await turn);
  throwIfAborted(signal); // or its event would never come
  let stop = (): void => {};
  const aborted = new Promise<void>((resolve) => (stop = resolve));
  signal.addEventListener('abort', stop);
  await Promise.race([turn, aborted]);
  signal.removeEventListener('abort', stop);
  throwIfAborted(signal);
}
