/** Where the lines of a job go, and how it knows what is there when it is resumed. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { ioError } from '../errors.ts';
import { InputHash } from './input-hash.ts';
import {
  jobFile,
  jobFormat,
  readJobFile,
  removeTemporaries,
  takenOver,
  writeJobFile,
  type Done,
} from './job-file.ts';
import { compressionOf, type Compression } from './compression.ts';
import type { Source } from './input.ts';
import { checkSameJob, type Job } from './job.ts';
import type { BatchSettings } from './options.ts';
import { checkOutput } from './places.ts';

/** Lines of a compressed member: the same in every run, or the bytes would not be. */
const memberLines = 256;

/** A line and what it came from. */
export interface Entry {
  line: string;
  source: Source;
  failed: boolean;
  tokens: number;
}

const nothingDone: Done = { records: 0, bytes: 0, inputSha256: '', failed: 0, tokens: 0 };

export interface JobOutput {
  /** What earlier runs have written. */
  readonly before: Done;
  /** Whether they had come to the end. */
  readonly complete: boolean;
  /** Takes notice of a record that an earlier run has done. */
  skip(source: Source): void;
  /** The hash of the input as far as it was skipped or written. */
  readonly inputSha256: string;
  /** Throws ERR_IO. */
  write(entry: Entry): Promise<void>;
  /**
   * Ends the output: with all lines, `wholeInput` being the hash of the whole input, or (null) so
   * that it can be resumed.
   */
  close(wholeInput: string | null): Promise<void>;
}

const ignore = (): void => {};

/** Standard output: written once, as it comes. */
export class StreamOutput implements JobOutput {
  readonly before = nothingDone;
  readonly complete = false;
  readonly inputSha256 = ''; // there was no earlier run to compare with
  readonly #stream: NodeJS.WritableStream;
  #failed = false;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
    stream.on('error', ignore); // write() tells it
  }

  skip(): void {}

  write({ line }: Entry): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream.write(line, (cause) => {
        if (!cause) return resolve();
        this.#failed = true;
        reject(ioError('standard output', cause));
      });
    });
  }

  /** The stream is the caller's. Of one that has failed the event may still be on its way. */
  close(): Promise<void> {
    if (!this.#failed) this.#stream.removeListener('error', ignore);
    return Promise.resolve();
  }
}

/** Creates what is not there and leaves what is. */
const keeping = constants.O_WRONLY | constants.O_CREAT;

/**
 * A file. All writes are at places that the lines before them decide, and a resumed run cuts nothing
 * off before the last of them, so that of two runs that do not know of each other yet each can only
 * write the same bytes again.
 */
export class FileOutput implements JobOutput {
  readonly before: Done;
  readonly complete: boolean;
  readonly #hash = new InputHash();
  readonly #file: string;
  readonly #handle: FileHandle;
  readonly #compression: Compression | null;
  readonly #job: Job;
  readonly #owner: string;
  readonly #checkpointMs: number;
  /** `#done`: complete blocks in the file; `#said`: what the last checkpoint recorded. */
  #done: Done;
  #said: Done;
  #saidAt = performance.now();
  #pending: Entry[] = [];

  private constructor(
    settings: BatchSettings,
    opened: { handle: FileHandle; job: Job; owner: string; before: Done; complete: boolean },
  ) {
    this.#file = settings.output;
    this.#checkpointMs = settings.checkpointMs;
    this.#compression = compressionOf(settings.output);
    this.#handle = opened.handle;
    this.#job = opened.job;
    this.#owner = opened.owner;
    this.before = opened.before;
    this.complete = opened.complete;
    this.#done = opened.before;
    this.#said = opened.before;
  }

  /**
   * Begins a job's output or goes on with it; what follows the last checkpoint is written over.
   * Throws ERR_INPUT (checkOutput()'s, and another job's output), ERR_IO.
   */
  static async open(settings: BatchSettings, job: Job): Promise<FileOutput> {
    const { output, overwrite } = settings;
    const found = await checkOutput(settings);
    if (found !== null) checkSameJob(jobFile(output), found.job, job);
    const owner = randomUUID();
    const { done: before, complete } = found ?? { done: nothingDone, complete: false };
    await removeTemporaries(output);
    try {
      // First: a file without its checkpoint could not be told from someone else's.
      const wholeInput = found?.wholeInput ?? null;
      const format = jobFormat;
      await writeJobFile(output, { format, owner, complete, wholeInput, done: before, job });
      const handle = await open(output, overwrite ? 'w' : keeping);
      return new FileOutput(settings, { handle, job, owner, before, complete });
    } catch (cause) {
      throw ioError(output, cause);
    }
  }

  skip(source: Source): void {
    this.#hash.add(source);
  }

  get inputSha256(): string {
    return this.#hash.value;
  }

  async write(entry: Entry): Promise<void> {
    this.#pending.push(entry);
    this.#hash.add(entry.source);
    if (this.#compression !== null && this.#pending.length < memberLines) return;
    await this.#flush();
    if (performance.now() - this.#saidAt >= this.#checkpointMs) await this.#checkpoint(null);
  }

  async close(wholeInput: string | null): Promise<void> {
    try {
      const complete = wholeInput !== null;
      if (complete) await this.#end();
      if (complete || this.#done !== this.#said) await this.#checkpoint(wholeInput);
    } finally {
      await this.#handle.close();
    }
  }

  /** What is left; of no records at all an empty member, since no bytes are no compressed file. */
  async #end(): Promise<void> {
    const isEmpty = this.#pending.length === 0;
    const needsMember = this.#compression !== null && this.#done.bytes === 0;
    if (!isEmpty || needsMember) await this.#flush();
    await this.#handle.truncate(this.#done.bytes).catch((cause: unknown) => {
      throw ioError(this.#file, cause);
    });
  }

  async #flush(): Promise<void> {
    const entries = this.#pending;
    this.#pending = [];
    const { records, bytes, failed, tokens } = this.#done;
    const text = Buffer.from(entries.map(({ line }) => line).join(''));
    const block = this.#compression === null ? text : await this.#compression.compress(text);
    await writeAt(this.#handle, block, bytes).catch((cause: unknown) => {
      throw ioError(this.#file, cause);
    });
    this.#done = {
      records: records + entries.length,
      bytes: bytes + block.length,
      inputSha256: this.#hash.value,
      failed: failed + entries.filter((entry) => entry.failed).length,
      tokens: tokens + entries.reduce((sum, entry) => sum + entry.tokens, 0),
    };
  }

  /** Says what is done, once it is on the disk. */
  async #checkpoint(wholeInput: string | null): Promise<void> {
    const done = this.#done;
    try {
      await this.#handle.datasync();
      if ((await this.#handle.stat()).nlink === 0) throw new Error('removed while it was written');
    } catch (cause) {
      throw ioError(this.#file, cause);
    }
    const found = await readJobFile(this.#file);
    if (found?.owner !== this.#owner) throw takenOver(this.#file);
    const complete = wholeInput !== null;
    const own = { format: jobFormat, owner: this.#owner, job: this.#job } as const;
    await writeJobFile(this.#file, { ...own, complete, wholeInput, done });
    this.#said = done;
    this.#saidAt = performance.now();
  }
}

/** All of it: one write may stop half-way, for instance where the disk is full. */
async function writeAt(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const rest = bytes.length - written;
    const { bytesWritten } = await handle.write(bytes, written, rest, position + written);
    written += bytesWritten;
  }
}
