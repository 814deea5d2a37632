/** Where the lines of a job go, and how it knows what is there when it is resumed. */
import { createHash, randomUUID, type Hash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { open, rm, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { SpeccascadeError } from '../errors.ts';
import { inputError } from '../validate.ts';
import {
  jobFile,
  jobFormat,
  readJobFile,
  removeTemporaries,
  writeJobFile,
  writeError,
  type Done,
} from './job-file.ts';
import { compressionOf, type Compression } from './compression.ts';
import type { Source } from './input.ts';
import { checkSameJob, type Job } from './job.ts';
import type { BatchSettings } from './options.ts';

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

/** Of records as they count for the identity of an input. */
class InputHash {
  readonly #hash: Hash = createHash('sha256');

  add(source: Source): void {
    this.#hash.update(source instanceof SpeccascadeError ? source.message : source).update('\n');
  }

  get value(): string {
    return this.#hash.copy().digest('hex');
  }
}

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
  /** Ends the output: with all lines, or (`complete` false) so that it can be resumed. */
  close(complete: boolean): Promise<void>;
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
        reject(writeError('standard output', cause));
      });
    });
  }

  /** The stream is the caller's. Of one that has failed the event may still be on its way. */
  close(): Promise<void> {
    if (!this.#failed) this.#stream.removeListener('error', ignore);
    return Promise.resolve();
  }
}

/**
 * A file. All writes are at places that the lines before them decide, so that a run which does not
 * know yet that another has taken over can only write the same bytes again.
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
   * Begins a job's output or goes on with it; what follows the last checkpoint is cut off. Throws
   * ERR_INPUT (an output that exists, another job's, one that is shorter than its checkpoint says),
   * ERR_IO.
   */
  static async open(settings: BatchSettings, job: Job): Promise<FileOutput> {
    const { output, resume } = settings;
    compressionOf(output); // before anything is touched
    await checkPlace(settings);
    const owner = randomUUID();
    const found = resume ? await readJobFile(output) : null;
    if (found !== null) checkSameJob(jobFile(output), found.job, job);
    else await checkFree(settings);
    const { done: before, complete } = found ?? { done: nothingDone, complete: false };
    await checkThere(output, before);
    await removeTemporaries(output);
    try {
      // First: a file without its checkpoint could not be told from someone else's.
      const said = { format: jobFormat, owner, complete, done: before, job } as const;
      await writeJobFile(output, said);
      const handle = await open(output, before.bytes === 0 ? 'w' : 'r+');
      await cutTo(handle, before, output).catch(async (cause: unknown) => {
        await handle.close();
        throw cause;
      });
      return new FileOutput(settings, { handle, job, owner, before, complete });
    } catch (cause) {
      throw writeError(output, cause);
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
    if (performance.now() - this.#saidAt >= this.#checkpointMs) await this.#checkpoint(false);
  }

  async close(complete: boolean): Promise<void> {
    try {
      if (complete) await this.#flushLast();
      if (complete || this.#done !== this.#said) await this.#checkpoint(complete);
    } finally {
      await this.#handle.close();
    }
  }

  /** What is left; of no records at all an empty member, since no bytes are no compressed file. */
  async #flushLast(): Promise<void> {
    const isEmpty = this.#pending.length === 0;
    const needsMember = this.#compression !== null && this.#done.bytes === 0;
    if (!isEmpty || needsMember) await this.#flush();
  }

  async #flush(): Promise<void> {
    const entries = this.#pending;
    this.#pending = [];
    const { records, bytes, failed, tokens } = this.#done;
    const text = Buffer.from(entries.map(({ line }) => line).join(''));
    const block = this.#compression === null ? text : await this.#compression.compress(text);
    await writeAt(this.#handle, block, bytes).catch((cause: unknown) => {
      throw writeError(this.#file, cause);
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
  async #checkpoint(complete: boolean): Promise<void> {
    const done = this.#done;
    try {
      await this.#handle.datasync();
    } catch (cause) {
      throw writeError(this.#file, cause);
    }
    const found = await readJobFile(this.#file);
    if (found?.owner !== this.#owner) {
      const file = jobFile(this.#file);
      const problem = 'another run has taken this job over, or its checkpoint was removed';
      throw new SpeccascadeError('ERR_IO', `${file}: ${problem}`);
    }
    const owner = this.#owner;
    const job = this.#job;
    await writeJobFile(this.#file, { format: jobFormat, owner, complete, done, job });
    this.#said = done;
    this.#saidAt = performance.now();
  }
}

/** Places that cannot be written at, and the one that must not be. */
async function checkPlace({ input, output }: BatchSettings): Promise<void> {
  const there = await statOf(output);
  if (there === null) return checkFolder(output);
  if (!there.isFile()) throw inputError('output', "a regular file or '-'", output);
  const from = typeof input === 'string' && input !== '-' ? await statOf(input) : null;
  if (from !== null && from.dev === there.dev && from.ino === there.ino) {
    throw inputError('output', 'another file than the input', output);
  }
}

/** Names the missing folder the caller gave, not the checkpoint file inside it. */
async function checkFolder(output: string): Promise<void> {
  const folder = path.dirname(output);
  if ((await statOf(folder)) !== null) return;
  throw new SpeccascadeError('ERR_IO', `${output}: there is no folder ${folder}`);
}

/** A new job needs a free place, unless it was told to make one. */
async function checkFree({ output, overwrite, resume }: BatchSettings): Promise<void> {
  if (overwrite) {
    try {
      await rm(jobFile(output), { force: true });
    } catch (cause) {
      throw writeError(jobFile(output), cause);
    }
    return;
  }
  for (const file of [output, jobFile(output)]) {
    if ((await statOf(file)) === null) continue;
    const problem = resume
      ? `has no checkpoint (${jobFile(output)}) to resume from`
      : 'exists already; resume goes on with an interrupted job, overwrite begins anew';
    throw new SpeccascadeError('ERR_INPUT', `output: ${file} ${problem}`);
  }
}

async function statOf(file: string): Promise<Stats | null> {
  try {
    return await stat(file);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw writeError(file, cause);
  }
}

/** Throws ERR_INPUT for an output that is gone though its checkpoint is not. */
async function checkThere(output: string, { records, bytes }: Done): Promise<void> {
  if (bytes === 0 || (await statOf(output)) !== null) return;
  const problem =
    `is missing, but by its checkpoint (${jobFile(output)}) it holds ${records} records; ` +
    'put it back, or begin anew (overwrite)';
  throw new SpeccascadeError('ERR_INPUT', `output: ${output} ${problem}`);
}

/** Takes away what a run wrote after its last checkpoint, a torn line included. */
async function cutTo(handle: FileHandle, { bytes }: Done, output: string): Promise<void> {
  const { size } = await handle.stat();
  if (size < bytes) {
    const problem = `expected at least the ${bytes} bytes of its checkpoint, found ${size}`;
    throw new SpeccascadeError('ERR_INPUT', `output: ${output}: ${problem}`);
  }
  if (size > bytes) await handle.truncate(bytes);
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
