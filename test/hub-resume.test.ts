/** Downloads that are cut, aborted, damaged or changed on the way. */
import { createHash } from 'node:crypto';
import { appendFileSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { mkdir, readFile, readdir, utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { downloadFile } from '../lib/checkpoint/hub-file.ts';
import { writeManifest } from '../lib/checkpoint/hub-manifest.ts';
import { claimPartial, contentKey, partialPath } from '../lib/checkpoint/hub-partial.ts';
import type { Remote } from '../lib/checkpoint/hub-request.ts';
import { expectError, tempFolder } from './support/checkpoint-builder.ts';
import { download, isolateHub, model, startHub, weights } from './support/checkpoint-hub.ts';
import type { HubFile, TestHub } from './support/checkpoint-server.ts';

isolateHub();

const name = 'model.safetensors';
const sha256OfWeights = createHash('sha256').update(weights).digest('hex');

function withWeights(change: Partial<HubFile>): Record<string, HubFile> {
  return { ...model(), [name]: { content: weights, stored: true, ...change } };
}

/** Compared as one block: element by element takes a second. */
async function expectWeights(folder: string, content = weights): Promise<void> {
  const bytes = await readFile(path.join(folder, name));
  expect(bytes.length).toBe(content.length);
  expect(bytes.equals(content)).toBe(true);
}

async function parts(cacheDir: string): Promise<string[]> {
  const names = await readdir(path.join(cacheDir, 'owner--name', 'main'));
  return names.filter((entry) => entry.endsWith('.part'));
}

/** Sizes of what unfinished downloads have written. */
async function partBytes(cacheDir: string): Promise<number[]> {
  const folder = path.join(cacheDir, 'owner--name', 'main');
  const names = await parts(cacheDir).catch(() => []);
  return names.map((part) => statSync(path.join(folder, part)).size);
}

const remoteOf = (hub: TestHub): Remote => ({
  ...{ endpoint: hub.url, id: 'owner/name', revision: 'main' },
  ...{ token: undefined, signal: undefined },
});

describe('a cut connection', () => {
  it('is resumed where it broke', async () => {
    const hub = await startHub(withWeights({ cuts: [100_000, 50_000] }));
    const folder = await download();
    await expectWeights(folder);
    const ranges = hub.requests(name).map(({ range }) => range);
    expect(ranges).toHaveLength(3);
    expect(ranges.slice(1)).toEqual(['bytes=100000-', 'bytes=150000-']);
  });

  it('is resumed however often it breaks, as long as bytes come', async () => {
    const hub = await startHub(withWeights({ cuts: [1000, 1000, 1000, 1000, 1000] }));
    await expectWeights(await download());
    expect(hub.requests(name).map(({ range }) => range)).toEqual([
      ...[undefined, 'bytes=1000-', 'bytes=2000-', 'bytes=3000-', 'bytes=4000-', 'bytes=5000-'],
    ]);
  });

  it('is resumed without a checksum too, by the etag', async () => {
    const hub = await startHub(withWeights({ stored: false, cuts: [100_000] }));
    await expectWeights(await download());
    expect(hub.requests(name)[1]?.range).toBe('bytes=100000-');
  });

  it('starts again where the server knows no ranges', async () => {
    await startHub(withWeights({ ignoresRange: true, cuts: [100_000] }));
    await expectWeights(await download());
  });

  it('starts again where the server sends another range', async () => {
    const hub = await startHub(withWeights({ stored: false, shiftsRange: true, cuts: [100_000] }));
    await expectWeights(await download());
    const ranges = hub.requests(name).map(({ range }) => range);
    expect(ranges).toEqual([undefined, 'bytes=100000-', undefined]);
  });

  it('that keeps breaking at once is given up', async () => {
    const hub = await startHub(withWeights({ cuts: [0, 0, 0, 0, 0, 0] }));
    await expectError(download(), 'ERR_DOWNLOAD', name);
    expect(hub.requests(name)).toHaveLength(4);
  });

  it('goes on in the next run, after the small files of the first', async () => {
    const cacheDir = await tempFolder();
    await startHub(withWeights({ cuts: [100_000, 0, 0, 0, 0] }));
    await expectError(download({ cacheDir }), 'ERR_DOWNLOAD', name);
    const hub = await startHub();
    await expectWeights(await download({ cacheDir }));
    expect(hub.requests(name)[0]?.range).toBe('bytes=100000-');
    expect(hub.requests('config.json')).toHaveLength(0);
    expect(await parts(cacheDir)).toEqual([]);
  });
});

describe('a busy server', () => {
  it.each([429, 500, 503])('status %i is tried again', async (status) => {
    await startHub(withWeights({ statuses: [status] }));
    await expectWeights(await download());
  });

  it('is named in the end', async () => {
    await startHub(withWeights({ statuses: [503, 503, 503, 503] }));
    await expectError(download(), 'ERR_DOWNLOAD', name, '503 Service Unavailable');
  });
});

describe('wrong content', () => {
  it('a wrong checksum is refused and leaves nothing', async () => {
    const cacheDir = await tempFolder();
    const sha256 = 'ab'.repeat(32);
    await startHub(withWeights({ sha256 }));
    await expectError(download({ cacheDir }), 'ERR_DOWNLOAD', name, 'checksum', sha256);
    const left = await readdir(path.join(cacheDir, 'owner--name', 'main'));
    expect(left.filter((entry) => entry.startsWith(name))).toEqual([]);
  });

  it('a part left by a process that has gone is taken over; a damaged one is replaced', async () => {
    for (const damaged of [false, true]) {
      const cacheDir = await tempFolder();
      await startHub({ 'config.json': model()['config.json'] as HubFile });
      await expectError(download({ cacheDir }), 'ERR_DOWNLOAD', name);
      const folder = path.join(cacheDir, 'owner--name', 'main');
      const hub = await startHub();
      const part = partialPath(folder, name, contentKey(sha256OfWeights));
      // No process has this id: Linux stops at 2^22.
      const orphan = part.replace(/-\d+-\d+\.part$/, '-99999999-0.part');
      const bytes = weights.slice(0, 70_000);
      if (damaged) bytes[60_000] = 255;
      await writeFile(orphan, bytes);
      await expectWeights(await download({ cacheDir }));
      const ranges = hub.requests(name).map(({ range }) => range);
      expect(ranges).toEqual(damaged ? ['bytes=70000-', undefined] : ['bytes=70000-']);
      expect(await parts(cacheDir)).toEqual([]);
    }
  });

  it.each([false, true])(
    'a part that is whole only gets its name, one that is damaged is replaced (damaged: %s)',
    async (damaged) => {
      const cacheDir = await tempFolder();
      const folder = path.join(cacheDir, 'owner--name', 'main');
      await mkdir(folder, { recursive: true });
      const bytes = Uint8Array.from(weights);
      if (damaged) bytes[60_000]! ^= 1;
      await writeFile(partialPath(folder, name, contentKey(sha256OfWeights)), bytes);
      const hub = await startHub();
      await expectWeights(await download({ cacheDir }));
      const range = `bytes=${weights.length}-`;
      const ranges = hub.requests(name).map((request) => request.range);
      expect(ranges).toEqual(damaged ? [range, undefined] : [range]);
      expect(await parts(cacheDir)).toEqual([]);
    },
  );

  it.each([true, false])(
    'a part of an older file is not continued (checksum: %s)',
    async (stored) => {
      const cacheDir = await tempFolder();
      await startHub(withWeights({ stored, cuts: [100_000, 0, 0, 0, 0] }));
      await expectError(download({ cacheDir }), 'ERR_DOWNLOAD', name);
      const newer = Uint8Array.from(weights, (byte, i) => (i > 1000 ? byte ^ 1 : byte));
      await startHub(withWeights({ stored, content: newer }));
      await expectWeights(await download({ cacheDir }), newer);
      expect(await parts(cacheDir)).toEqual([]);
    },
  );

  it('more bytes than announced are refused', async () => {
    const files = withWeights({ sha256: 'an etag that is no checksum' });
    const hub = await startHub(files);
    hub.onRequest = ({ path }) => {
      // The hub has told the old size when the storage serves something longer.
      if (path.startsWith('/store/')) {
        hub.files[name] = { content: new Uint8Array(weights.length + 5) };
      }
    };
    await expectError(download(), 'ERR_DOWNLOAD', name, `expected ${weights.length} bytes`);
  });

  it('more bytes than announced are not read to their end', async () => {
    const hub = await startHub(withWeights({ sha256: 'an etag that is no checksum' }));
    hub.onRequest = ({ path }) => {
      if (!path.startsWith('/store/')) return;
      hub.files[name] = { content: new Uint8Array(40 * weights.length) };
    };
    const folder = await tempFolder();
    const seen: number[] = [];
    const work = downloadFile(remoteOf(hub), folder, name, (done) => seen.push(done));
    await expectError(work, 'ERR_DOWNLOAD', `expected ${weights.length} bytes`);
    expect(Math.max(...seen)).toBeLessThanOrEqual(weights.length);
    expect(await readdir(folder)).toEqual([]);
  });
});

it('of two parts the longer one is kept, whichever is found first', async () => {
  for (const longer of ['one', 'two']) {
    const folder = await tempFolder();
    for (const etag of ['one', 'two']) {
      const bytes = weights.subarray(0, etag === longer ? 2000 : 1000);
      await writeFile(partialPath(folder, name, contentKey(etag)), bytes);
    }
    const claimed = await claimPartial(folder, name);
    expect(claimed).toMatchObject({ key: contentKey(longer), bytes: 2000 });
    expect(await readdir(folder)).toEqual([path.basename(claimed!.file)]);
  }
});

it('a record that calls a snapshot without files complete is not believed', async () => {
  const cacheDir = await tempFolder();
  const folder = path.join(cacheDir, 'owner--name', 'main');
  await mkdir(folder, { recursive: true });
  const record = { id: 'owner/name', revision: 'main', commit: null, complete: true, files: {} };
  await writeManifest(folder, record);
  await startHub();
  expect(await download({ cacheDir })).toBe(folder);
  await expectWeights(folder);
});

describe('a cache of several hosts', () => {
  /** A part as a process of the same id on another host writes it. */
  async function foreignPart(cacheDir: string): Promise<string> {
    const folder = path.join(cacheDir, 'owner--name', 'main');
    await mkdir(folder, { recursive: true });
    const part = partialPath(folder, name, contentKey(sha256OfWeights));
    const host = os.hostname().replace(/[^\w-]/g, '_');
    const foreign = part.replace(`.${host}-`, '.another-host-');
    expect(foreign).not.toBe(part);
    await writeFile(foreign, weights.subarray(0, 70_000));
    return foreign;
  }

  it('leaves what another host writes alone', async () => {
    const cacheDir = await tempFolder();
    const foreign = await foreignPart(cacheDir);
    const hub = await startHub();
    await expectWeights(await download({ cacheDir }));
    expect(hub.requests(name)[0]?.range).toBeUndefined();
    expect(await parts(cacheDir)).toEqual([path.basename(foreign)]);
  });

  it('takes over what another host has left', async () => {
    const cacheDir = await tempFolder();
    const foreign = await foreignPart(cacheDir);
    const before = new Date(Date.now() - 11 * 60_000);
    await utimes(foreign, before, before);
    const hub = await startHub();
    await expectWeights(await download({ cacheDir }));
    expect(hub.requests(name)[0]?.range).toBe('bytes=70000-');
    expect(await parts(cacheDir)).toEqual([]);
  });

  it.each([
    ['process', `-${process.ppid}-0.part`],
    ['thread of this process', `-${process.pid}-99.part`],
  ])('takes over what a %s has not written to for long, though it lives', async (_, living) => {
    const cacheDir = await tempFolder();
    const folder = path.join(cacheDir, 'owner--name', 'main');
    await mkdir(folder, { recursive: true });
    const own = partialPath(folder, name, contentKey(sha256OfWeights));
    const part = own.replace(/-\d+-\d+\.part$/, living);
    await writeFile(part, weights.subarray(0, 70_000));
    const before = new Date(Date.now() - 11 * 60_000);
    await utimes(part, before, before);
    const hub = await startHub();
    await expectWeights(await download({ cacheDir }));
    expect(hub.requests(name)[0]?.range).toBe('bytes=70000-');
    expect(await parts(cacheDir)).toEqual([]);
  });

  it.each([
    ['begins anew', true, (part: string) => truncateSync(part), 'checksum'],
    ['adds to', false, (part: string) => appendFileSync(part, weights), 'bytes, received'],
  ])('refuses a file that another process %s all the same', async (_, stored, write, message) => {
    const hub = await startHub(withWeights({ stored }));
    const folder = await tempFolder();
    let written = false;
    const onBytes = (): void => {
      if (!written) write(path.join(folder, readdirSync(folder)[0]!));
      written = true;
    };
    const work = downloadFile(remoteOf(hub), folder, name, onBytes);
    await expectError(work, 'ERR_DOWNLOAD', message);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('abort', () => {
  it('before the start', async () => {
    const hub = await startHub();
    const signal = AbortSignal.abort('reason');
    const error = await expectError(download({ signal }), 'ERR_ABORTED');
    expect(error.cause).toBe('reason');
    expect(hub.seen).toEqual([]);
  });

  it('in the middle of a file, which is resumed later', async () => {
    const cacheDir = await tempFolder();
    await startHub(withWeights({ stalls: true }));
    const controller = new AbortController();
    const reason = new Error('enough');
    const promise = expectError(download({ cacheDir, signal: controller.signal }), 'ERR_ABORTED');
    await expect.poll(() => partBytes(cacheDir)).toEqual([1000]);
    controller.abort(reason);
    expect((await promise).cause).toBe(reason);
    expect(await partBytes(cacheDir)).toEqual([1000]);
    const next = await startHub();
    await expectWeights(await download({ cacheDir }));
    expect(next.requests(name)[0]?.range).toBe('bytes=1000-');
  });

  it('while waiting for another caller leaves that one alone', async () => {
    const cacheDir = await tempFolder();
    const hub = await startHub();
    const controller = new AbortController();
    hub.onRequest = () => controller.abort();
    const first = download({ cacheDir });
    const second = download({ cacheDir, signal: controller.signal });
    await expectError(second, 'ERR_ABORTED');
    await expectWeights(await first);
  });
});
