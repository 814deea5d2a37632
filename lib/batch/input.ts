/** Where the records of a job come from: a file, standard input, or whatever the caller iterates. */
import { constants, createReadStream, type ReadStream } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { pipeline, type Readable, type Transform } from 'node:stream';
import { ioError, SpeccascadeError } from '../errors.ts';
import { inputError } from '../validate.ts';
import { compressionOf } from './compression.ts';
import { splitLines } from './split-lines.ts';

/** Longest record in bytes of JSON: far more than the longest input that a session can take. */
const maxRecordBytes = 8 * 2 ** 20;

/** The JSON of a record, or why there is none. */
export type Source = Uint8Array | SpeccascadeError;

export interface BatchInput {
  /** In messages. */
  name: string;
  /** Bytes of the file as it lies on the disk; null: not a file. */
  bytes: number | null;
  /** How many of them so many bytes of text are: of a compressed file in proportion so far. */
  bytesOf: (textBytes: number) => number;
  /** To be iterated once. Throws ERR_IO, ERR_ABORTED. */
  records: AsyncIterable<Source>;
  /** Ends a read under way. Idempotent. */
  close: () => void;
}

/** `input`: a path, '-' (standard input), or values to be written as JSON. Throws ERR_IO, ERR_INPUT. */
export async function openInput(
  input: string | AsyncIterable<unknown> | Iterable<unknown>,
  signal: AbortSignal,
): Promise<BatchInput> {
  const nothing = { bytes: null, bytesOf: () => 0, close: () => {} };
  if (typeof input !== 'string') {
    const name = 'input';
    return { ...nothing, name, records: abortable(serialised(input, name), signal) };
  }
  if (input === '-') {
    const name = 'standard input';
    const records = abortable(lines(process.stdin, name), signal);
    return { ...nothing, name, records, close: () => process.stdin.destroy() };
  }
  const bytes = await fileBytes(input);
  const compression = compressionOf(input);
  const file = createReadStream(input);
  file.on('error', () => {}); // reading tells it; it may come before reading begins
  const text = compression === null ? file : piped(file, compression.decompressor());
  text.on('error', () => {}); // and it may come after reading has been given up
  const chunks = new CountedChunks(text);
  return {
    name: input,
    bytes,
    bytesOf: (textBytes) => (chunks.bytes > 0 ? (file.bytesRead * textBytes) / chunks.bytes : 0),
    records: abortable(lines(chunks, input), signal),
    close: () => text.destroy() && file.destroy(),
  };
}

/** The size of a file that can be read; null: it is a pipe or a device. Throws ERR_IO. */
export async function fileBytes(file: string): Promise<number | null> {
  try {
    const info = await stat(file);
    if (info.isDirectory()) throw new Error('is a folder');
    await access(file, constants.R_OK);
    return info.isFile() ? info.size : null;
  } catch (cause) {
    throw ioError(file, cause);
  }
}

/** The failure of either ends both, and reaches whoever reads. */
function piped(file: ReadStream, decompressor: Transform): Readable {
  return pipeline(file, decompressor, () => {});
}

/** Of a stream, with the bytes that have come out of it. */
class CountedChunks implements AsyncIterable<Buffer> {
  bytes = 0;
  readonly #stream: AsyncIterable<Buffer>;

  constructor(stream: AsyncIterable<Buffer>) {
    this.#stream = stream;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of this.#stream) {
      this.bytes += chunk.length;
      yield chunk;
    }
  }
}

async function* lines(
  stream: AsyncIterable<Buffer>,
  name: string,
): AsyncGenerator<Source, void, undefined> {
  try {
    yield* splitLines(stream, maxRecordBytes);
  } catch (cause) {
    throw ioError(name, cause);
  }
}

/** Values of the caller's as if they had been read from a file. */
async function* serialised(
  values: AsyncIterable<unknown> | Iterable<unknown>,
  name: string,
): AsyncGenerator<Source, void, undefined> {
  try {
    for await (const value of values) yield jsonOf(value);
  } catch (cause) {
    throw ioError(name, cause);
  }
}

function jsonOf(value: unknown): Source {
  try {
    if (typeof value === 'bigint') throw inputError('record', 'a record', value);
    const text = JSON.stringify(value, function (this: unknown, key, part: unknown) {
      if (typeof part === 'bigint') {
        return this === value && !ownFields.includes(key) ? null : String(part);
      }
      if (typeof part === 'number' && !Number.isFinite(part)) {
        return this === value ? ofRecord(key, part) : String(part);
      }
      return part instanceof Int32Array ? [...part] : part;
    }) as string | undefined;
    if (text !== undefined) return Buffer.from(text);
  } catch (cause) {
    if (cause instanceof SpeccascadeError) return cause;
    const problem = cause instanceof Error ? cause.message.split('\n', 1)[0]! : String(cause);
    return new SpeccascadeError('ERR_INPUT', `record: expected what JSON can hold: ${problem}`, {
      cause,
    });
  }
  return inputError('record', 'a value that JSON can hold', value);
}

/** Those that mean the same in every job. */
const ownFields = ['id', 'options'];

/**
 * NaN and the infinities, which JSON's numbers are not. Inside options they become texts: rules take
 * 'Infinity', and the checks refuse every other by its name, which null would pass as not given. A
 * record's own field would pass as a text; null is none. So it is with big integers, but that an id
 * may be one.
 */
function ofRecord(key: string, part: number): null {
  if (!ownFields.includes(key)) return null;
  throw inputError(key, 'a value that JSON can hold', part);
}

/**
 * Gives up waiting when the signal fires, however long the next item is in coming. Not by a race
 * with one promise for all items: that would remember every one of them.
 */
export function abortable<T>(
  items: AsyncGenerator<T, void, undefined>,
  signal: AbortSignal,
): AsyncIterable<T> {
  let failure: SpeccascadeError | undefined;
  let giveUp: ((error: SpeccascadeError) => void) | undefined;
  const abort = (): void => {
    const details = { cause: signal.reason as unknown };
    failure = new SpeccascadeError('ERR_ABORTED', 'the job was aborted', details);
    items.return().catch(() => {}); // as soon as it can: it may be waiting itself
    giveUp?.(failure);
  };
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  const next = (): Promise<IteratorResult<T, void>> =>
    new Promise((resolve, reject) => {
      if (failure !== undefined) return reject(failure);
      giveUp = reject;
      items.next().then(resolve, reject);
    });
  return { [Symbol.asyncIterator]: () => ({ next, return: () => items.return() }) };
}
