/**
 * What loading asks of the file system, over the callbacks of node:fs. Those of node:fs/promises
 * make their promise in C++: a worker thread terminated at that very moment aborts the whole
 * process (seen with Node 20.20: "Assertion failed: (req_wrap_async) != nullptr").
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';

export const stat: (file: string) => Promise<fs.Stats> = promisify(fs.stat);

export const readFile: (file: string, encoding: 'utf8') => Promise<string> = promisify(fs.readFile);

const open: (file: string, flags: string) => Promise<number> = promisify(fs.open);
const read = promisify(fs.read);
const close = promisify(fs.close);

/** Reads up to `size` bytes (allocated at once) from `position`: fewer where the file ends before. */
export async function readRange(file: string, position: number, size: number): Promise<Uint8Array> {
  const descriptor = await open(file, 'r');
  try {
    const bytes = new Uint8Array(size);
    let done = 0;
    while (done < size) {
      const { bytesRead } = await read(descriptor, bytes, done, size - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  } finally {
    await close(descriptor);
  }
}
