/** Downloads the files of a model that are of use here, and only those, into one folder. */
import path from 'node:path';
import { downloadFile } from './hub-file.ts';
import { downloadError, takenForId, TransientError } from './hub-errors.ts';
import { writeManifest, type Manifest } from './hub-manifest.ts';
import type { DownloadProgress } from './hub-progress.ts';
import { requestFile, type Remote } from './hub-request.ts';
import { readShardIndex } from './shards.ts';
import { foreignError, foreignWeights, indexName, singleName } from './weights.ts';

/** Small files that a model may do without. */
const optionalFiles = [
  'generation_config.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'tokenizer.json',
  'spiece.model',
  'vocab.json',
  'merges.txt',
];

/** Fetches what `manifest` does not list yet; marks it complete at the end. */
export async function downloadSnapshot(
  remote: Remote,
  folder: string,
  manifest: Manifest,
  progress: DownloadProgress,
): Promise<void> {
  const fetchFile = (name: string): Promise<boolean> =>
    fetchInto(remote, folder, manifest, progress, name);
  // A branch may move during the download: all files are taken from the commit of the first.
  if (manifest.commit !== null) remote.revision = manifest.commit;
  try {
    const found = await fetchFile('config.json');
    if (!found) throw missing(remote, 'config.json', 'no such model or revision');
  } catch (error) {
    throw takenForId(remote.id, error);
  }
  if (manifest.commit !== null) remote.revision = manifest.commit;
  for (const name of optionalFiles) await fetchFile(name);
  if (!(await fetchFile(singleName))) {
    if (!(await fetchFile(indexName))) throw await noWeights(remote);
    await fetchShards(remote, folder, progress, fetchFile);
  }
  manifest.complete = true;
  await writeManifest(folder, manifest);
  progress.finish();
}

async function fetchInto(
  remote: Remote,
  folder: string,
  manifest: Manifest,
  progress: DownloadProgress,
  name: string,
): Promise<boolean> {
  const known = Object.hasOwn(manifest.files, name) ? manifest.files[name] : undefined;
  if (known !== undefined) {
    progress.update(name, known, known);
    return true;
  }
  const file = await downloadFile(remote, folder, name, (done, total) => {
    progress.update(name, done, total);
  });
  if (file === null) return false;
  manifest.commit ??= file.commit;
  manifest.files[name] = file.bytes;
  await writeManifest(folder, manifest);
  return true;
}

async function fetchShards(
  remote: Remote,
  folder: string,
  progress: DownloadProgress,
  fetchFile: (name: string) => Promise<boolean>,
): Promise<void> {
  const index = await readShardIndex(path.join(folder, indexName));
  progress.announce(index?.totalBytes ?? 0);
  for (const name of index?.shards ?? []) {
    if (!(await fetchFile(name))) throw missing(remote, name, `${indexName} names it`);
  }
}

function missing(remote: Remote, name: string, why: string): Error {
  const { pathname, host } = new URL(remote.endpoint);
  const base = pathname === '/' ? '' : pathname;
  const where = `${base}/${remote.id}/resolve/${encodeURIComponent(remote.revision)}/${name}`;
  return downloadError(remote.id, `GET ${where} at ${host} answered 404 Not Found: ${why}`);
}

/** Why there are no weights to download: another format, or none at all. */
async function noWeights(remote: Remote): Promise<Error> {
  for (const name of Object.keys(foreignWeights)) {
    try {
      const { response } = await requestFile(remote, name, { method: 'HEAD' });
      if (response.status === 404) continue;
    } catch (error) {
      // This only improves the message: a server that does not answer must not hide the rest.
      if (error instanceof TransientError) continue;
      throw error;
    }
    return foreignError(remote.id, name, remote.id, path.basename(remote.id));
  }
  return missing(remote, singleName, `and there is no ${indexName} either`);
}
