/** Sources: paths, ids, and the download of what an id names. All traffic stays on 127.0.0.1. */
import { readFile, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { defaultCacheDir, resolveSource } from '../lib/checkpoint/hub.ts';
import { readManifest, writeManifest } from '../lib/checkpoint/hub-manifest.ts';
import type { DownloadReport } from '../lib/checkpoint/hub-progress.ts';
import { readCheckpoint } from '../lib/checkpoint.ts';
import {
  expectError,
  soundFile,
  tempFolder,
  tinyConfig,
  tinyTensors,
} from './support/checkpoint-builder.ts';
import {
  download,
  id,
  isolateHub,
  jsonFile,
  model,
  startHub,
  weights,
} from './support/checkpoint-hub.ts';
import { commit } from './support/checkpoint-server.ts';

isolateHub();

describe('paths', () => {
  it.each([
    ['./x', path.resolve('x')],
    ['../x', path.resolve('../x')],
    ['.', path.resolve('.')],
    ['/x/y', '/x/y'],
    ['~', os.homedir()],
    ['~/models/x', path.join(os.homedir(), 'models/x')],
    ['models/small', path.resolve('models/small')], // exists, so it is not an id
  ])('%s', async (source, folder) => {
    expect(await resolveSource(source)).toBe(folder);
  });

  it.each(['', 'a/b/c', 'a b', 'https://x/y', '-x', 'a//b', 'a/..', 'x--y', 'a\0b', 7 as never])(
    'neither a path nor an id: %o',
    async (source) => {
      await expectError(resolveSource(source), 'ERR_INPUT', 'expected a folder that exists');
    },
  );

  it('with a mistake in them are not looked for elsewhere', async () => {
    const hub = await startHub();
    const message = 'models/larg: no such folder (models is one';
    const cacheDir = await tempFolder();
    await expectError(resolveSource('models/larg', { cacheDir }), 'ERR_CHECKPOINT', message);
    expect(hub.seen).toEqual([]);
    expect(await readdir(cacheDir)).toEqual([]);
    const meant = resolveSource('models/larg', { cacheDir, asId: true });
    await expectError(meant, 'ERR_DOWNLOAD', 'GET /models/larg/resolve/main/config.json');
    // Another folder, or none: an id like all others.
    const wrong = resolveSource('modles/large', { cacheDir });
    const first = 'there is no folder modles/large, so it was taken for a hub id; download of';
    expect((await expectError(wrong, 'ERR_DOWNLOAD', '404')).message.startsWith(first)).toBe(true);
  });

  it('that look like an id once downloaded are found', async () => {
    await startHub();
    const here = process.cwd();
    process.chdir(await tempFolder({ owner: null }));
    try {
      const cacheDir = await tempFolder();
      await expectError(download({ cacheDir }), 'ERR_CHECKPOINT', 'owner/name: no such folder');
      const folder = await download({ cacheDir, asId: true });
      expect(await download({ cacheDir })).toBe(folder);
    } finally {
      process.chdir(here);
    }
  });

  it.each(['../x', '', 'a//b', 'a/', 'a?b', '.x'])('no revision: %o', async (revision) => {
    await expectError(resolveSource(id, { revision }), 'ERR_INPUT', 'revision');
  });

  it.each(['ftp://127.0.0.1', 'nonsense'])('no endpoint: %s', async (endpoint) => {
    process.env['HF_ENDPOINT'] = endpoint;
    await expectError(download(), 'ERR_INPUT', 'HF_ENDPOINT', endpoint);
  });

  it('the cache is where the environment says', () => {
    expect(defaultCacheDir({ SPECCASCADE_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a');
    expect(defaultCacheDir({ XDG_CACHE_HOME: '/b' })).toBe('/b/speccascade');
    const home = path.join(os.homedir(), '.cache/speccascade');
    expect(defaultCacheDir({ XDG_CACHE_HOME: 'relative' })).toBe(home);
    expect(defaultCacheDir({})).toBe(home);
  });
});

describe('a redirect', () => {
  it('to an address that is not https is told, without its query', async () => {
    const location = 'http://storage.example/blob?signature=secret';
    const answer = new Response(null, { status: 302, headers: { location } });
    const fetched = vi.spyOn(globalThis, 'fetch').mockResolvedValue(answer);
    try {
      process.env['HF_ENDPOINT'] = 'https://hub.example';
      const problem = '"http://storage.example/blob", which is not https';
      const error = await expectError(download(), 'ERR_DOWNLOAD', problem);
      expect(error.message).not.toContain('secret');
    } finally {
      fetched.mockRestore();
    }
  });
});

it('the record of a snapshot is written beside what other threads write', async () => {
  const folder = await tempFolder({ [`.speccascade.json.${process.pid}`]: null });
  const manifest = { id, revision: 'main', commit: null, complete: false, files: {} };
  await writeManifest(folder, manifest);
  expect(await readManifest(folder, id, 'main')).toEqual(manifest);
});

describe('download', () => {
  it('fetches what is of use, from one commit, and reads it', async () => {
    const hub = await startHub();
    const folder = await download();
    const names = (await readdir(folder)).sort();
    expect(names).toEqual([
      '.speccascade.json',
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'spiece.model',
    ]);
    const bytes = await readFile(path.join(folder, 'model.safetensors'));
    expect(bytes.equals(weights)).toBe(true);
    const [first, ...rest] = hub.seen.filter(({ path }) => path.startsWith('/owner/'));
    expect(first?.path).toBe('/owner/name/resolve/main/config.json');
    for (const { path } of rest) expect(path).toContain(`/resolve/${commit}/`);
    expect((await readCheckpoint(folder)).native.dModel).toBe(8);
  });

  it('uses a complete snapshot without any traffic', async () => {
    const cacheDir = await tempFolder();
    const hub = await startHub();
    const folder = await download({ cacheDir });
    await hub.stop();
    const seen = hub.seen.length;
    expect(await download({ cacheDir })).toBe(folder);
    expect(hub.seen.length).toBe(seen);
  });

  it('repairs a snapshot that has lost a file', async () => {
    const cacheDir = await tempFolder();
    const hub = await startHub();
    const folder = await download({ cacheDir });
    await rm(path.join(folder, 'spiece.model'));
    hub.seen.length = 0;
    await download({ cacheDir });
    expect(hub.requests('spiece.model')).toHaveLength(1);
    expect(hub.requests('model.safetensors')).toHaveLength(0);
  });

  it('keeps revisions apart', async () => {
    const cacheDir = await tempFolder();
    await startHub();
    const main = await download({ cacheDir });
    const pinned = await download({ cacheDir, revision: commit });
    expect(pinned).not.toBe(main);
    const gone = download({ cacheDir, revision: 'refs/pr/1' });
    await expectError(gone, 'ERR_DOWNLOAD', '/owner/name/resolve/refs%2Fpr%2F1/config.json', '404');
  });

  it('takes the cache from the environment', async () => {
    await startHub();
    process.env['SPECCASCADE_CACHE'] = await tempFolder();
    const folder = await resolveSource(id);
    expect(folder).toBe(path.join(process.env['SPECCASCADE_CACHE'], 'owner--name', 'main'));
  });

  it('reports progress up to the whole', async () => {
    await startHub();
    const reports: DownloadReport[] = [];
    await download({ onProgress: (report) => reports.push(report) });
    const last = reports.at(-1);
    expect(last?.phase).toBe('download');
    expect(last?.done).toBe(last?.total);
    expect(last?.done).toBeGreaterThan(weights.length);
    for (const { done, total } of reports) expect(done).toBeLessThanOrEqual(total);
  });

  it('lets a failing progress callback end it', async () => {
    await startHub();
    const onProgress = () => {
      throw new TypeError('mine');
    };
    await expect(download({ onProgress })).rejects.toThrow(TypeError);
  });

  it('serves two callers at once with one download', async () => {
    const hub = await startHub();
    const cacheDir = await tempFolder();
    const folders = await Promise.all([download({ cacheDir }), download({ cacheDir })]);
    expect(folders[0]).toBe(folders[1]);
    expect(hub.requests('model.safetensors')).toHaveLength(1);
  });

  it('can be aborted while another one of the same model is under way', async () => {
    const cacheDir = await tempFolder();
    const hub = await startHub({
      ...model(),
      'model.safetensors': { content: weights, stalls: true },
    });
    const other = new AbortController();
    const first = download({ cacheDir, signal: other.signal });
    await vi.waitFor(() => expect(hub.requests('model.safetensors')).toHaveLength(1), 30_000);
    const abort = new AbortController();
    const second = download({ cacheDir, signal: abort.signal });
    // While the second looks whether its source is a folder here.
    abort.abort('enough');
    await expectError(second, 'ERR_ABORTED');
    other.abort();
    await expectError(first, 'ERR_ABORTED');
  });

  it('shows the token to the hub and to nobody else', async () => {
    const hub = await startHub();
    const storage = await startHub();
    process.env['HF_ENDPOINT'] = hub.url;
    process.env['HF_TOKEN'] = 'secret';
    hub.storage = storage.url;
    await download();
    expect(new Set(hub.seen.map((s) => s.authorization))).toEqual(new Set(['Bearer secret']));
    expect(storage.seen.map((s) => s.authorization)).toEqual([undefined]);
  });
});

describe('shards', () => {
  const [a, b, c] = tinyTensors;
  const index = {
    metadata: { total_size: 656 },
    weight_map: Object.fromEntries(
      tinyTensors.map(({ name }, i) => [name, `part-${i < 1 ? 1 : 2}.safetensors`]),
    ),
  };
  const sharded = () => {
    const files = model();
    delete files['model.safetensors'];
    return {
      ...files,
      'model.safetensors.index.json': jsonFile(index),
      'part-1.safetensors': { content: soundFile(a ? [a] : []), stored: true },
      'part-2.safetensors': { content: soundFile(b && c ? [b, c] : []), stored: true },
    };
  };

  it('are all fetched', async () => {
    await startHub(sharded());
    const reports: DownloadReport[] = [];
    const folder = await download({ onProgress: (report) => reports.push(report) });
    expect((await readCheckpoint(folder)).weights.files).toHaveLength(2);
    expect(reports.at(-1)?.done).toBe(reports.at(-1)?.total);
  });

  it('that are missing are named', async () => {
    const { 'part-2.safetensors': part, ...files } = sharded();
    expect(part).toBeDefined();
    await startHub(files);
    const error = await expectError(download(), 'ERR_DOWNLOAD', 'part-2.safetensors', '404');
    expect(error.message).not.toContain('there is no folder');
  });

  it('outside the folder are refused', async () => {
    const evil = jsonFile({ weight_map: { x: '../../x.safetensors' } });
    const hub = await startHub({ ...sharded(), 'model.safetensors.index.json': evil });
    await expectError(download(), 'ERR_CHECKPOINT', '../../x.safetensors');
    expect(hub.seen.some(({ path }) => path.includes('x.safetensors'))).toBe(false);
  });
});

describe('refusals', () => {
  it('no such model', async () => {
    await startHub({});
    const error = await expectError(download(), 'ERR_DOWNLOAD', '404', 'no such model');
    expect(error.message).toContain('/owner/name/resolve/main/config.json');
  });

  it('PyTorch weights only', async () => {
    const files = model();
    delete files['model.safetensors'];
    const hub = await startHub(files);
    await expectError(download(), 'ERR_CHECKPOINT', id, 'pytorch_model.bin', 'from_pretrained');
    expect(hub.requests('pytorch_model.bin').map((s) => s.method)).toEqual(['HEAD']);
  });

  it('no weights at all', async () => {
    await startHub({ 'config.json': jsonFile(tinyConfig) });
    await expectError(download(), 'ERR_DOWNLOAD', 'model.safetensors', '404');
  });

  it.each([401, 403])('status %i speaks of the token', async (status) => {
    const files = model();
    files['config.json'] = { ...jsonFile(tinyConfig), statuses: [status] };
    await startHub(files);
    const error = await expectError(download(), 'ERR_DOWNLOAD', String(status), 'HF_TOKEN');
    expect(error.message).toMatch(
      /^there is no folder owner\/name, so it was taken for a hub id; /,
    );
  });

  it('a web page in place of a file', async () => {
    const files = model();
    files['config.json'] = { content: new TextEncoder().encode('<html>log in</html>') };
    await startHub(files);
    const cacheDir = await tempFolder();
    await expectError(download({ cacheDir }), 'ERR_DOWNLOAD', 'config.json', 'expected JSON');
    expect(await readdir(path.join(cacheDir, 'owner--name', 'main'))).toEqual([]);
  });

  it('a server that does not answer', async () => {
    await expectError(download(), 'ERR_DOWNLOAD', '/owner/name/resolve/main/config.json');
  });

  it('a cache folder that is a file', async () => {
    await startHub();
    const folder = await tempFolder({ file: 'x' });
    const cacheDir = path.join(folder, 'file');
    await expectError(download({ cacheDir }), 'ERR_IO', cacheDir);
  });
});
