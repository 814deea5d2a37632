/** The outputs of a job's shards as the output of the whole job. */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { link, lstat, open, rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { ioError, SpeccascadeError } from '../errors.ts';
import { checkPath, inputError } from '../validate.ts';
import { jobFile, readJobFile, type JobFile } from './job-file.ts';
import { compressionOf } from './compression.ts';
import { fileBytes, openInput, type Source } from './input.ts';
import { checkShardsOfOne } from './job.ts';

const lineEnd = Buffer.from('\n');

/**
 * Deals the lines of all shards, given in their order, back into one file: the bytes that one job
 * without shards writes. Shards may be compressed; the output is plain, and must not exist yet.
 * Errors: ERR_INPUT (no shards; what is no path; a shard without checkpoint, or whose checkpoint says
 * that it is another, of another job or not complete; one with a number of lines or bytes that cannot
 * be; an output that exists), ERR_IO.
 */
export async function mergeShards(shards: readonly string[], output: string): Promise<void> {
  checkShards(shards);
  if (checkPath('output', output) === '-') throw inputError('output', 'a path', output);
  if (compressionOf(output) !== null) {
    const problem = 'expected a plain file (compress it afterwards)';
    throw new SpeccascadeError('ERR_INPUT', `output: ${output}: ${problem}`);
  }
  let first: JobFile | undefined;
  // One after the other: of several errors it is the first shard's.
  for (const [i, shard] of shards.entries()) {
    const checkpoint = await checkShard(shard, `${i + 1}/${shards.length}`);
    first ??= checkpoint;
    checkShardsOfOne([shards[0]!, first.job], [shard, checkpoint.job]);
    if (checkpoint.wholeInput !== first.wholeInput) {
      throw wrongShard(shard, `expected the input of ${shards[0]}, found that of another`);
    }
  }
  const stop = new AbortController();
  setMaxListeners(shards.length, stop.signal); // one of each shard's is no leak
  const inputs: Awaited<ReturnType<typeof openInput>>[] = [];
  try {
    for (const shard of shards) inputs.push(await openInput(shard, stop.signal));
    const lines = dealt(
      inputs.map(({ records }) => records[Symbol.asyncIterator]()),
      shards,
    );
    await writeWhole(lines, output);
  } catch (cause) {
    throw ioError(output, cause);
  } finally {
    stop.abort();
    for (const input of inputs) input.close();
  }
}

function checkShards(shards: unknown): void {
  if (!Array.isArray(shards)) throw inputError('shards', 'a list of paths', shards);
  if (shards.length === 0) throw inputError('shards', 'at least one path', shards);
  for (const [i, shard] of shards.entries()) checkPath(`shards[${i}]`, shard);
}

/**
 * Under another name until it is whole, however the process ends: half a merged file looks like a
 * whole one. A process that is killed leaves that other, a `.tmp`, behind. Throws ERR_INPUT, as a job
 * does, for an output that exists.
 */
async function writeWhole(lines: AsyncIterable<Buffer>, output: string): Promise<void> {
  const temporary = `${output}.${randomUUID()}.tmp`;
  if (await exists(output)) throw outputExists(output);
  try {
    const handle = await open(temporary, 'w');
    await pipeline(lines, handle.createWriteStream({ flush: true }));
    await giveName(temporary, output);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** By a link, which another file cannot lose its name to; some file systems have none. */
async function giveName(temporary: string, output: string): Promise<void> {
  try {
    await link(temporary, output);
  } catch (cause) {
    if (await exists(output)) throw outputExists(output);
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw cause;
    await rename(temporary, output);
  }
}

async function exists(file: string): Promise<boolean> {
  return (await lstat(file).catch(() => null)) !== null;
}

function outputExists(output: string): SpeccascadeError {
  return new SpeccascadeError('ERR_INPUT', `output: ${output} exists already`);
}

/** Its checkpoint. */
async function checkShard(file: string, expected: string): Promise<JobFile> {
  const checkpoint = await readJobFile(file);
  if (checkpoint === null) {
    throw wrongShard(file, `expected its checkpoint (${jobFile(file)}) beside it, found none`);
  }
  const { complete, job, done } = checkpoint;
  if (!complete || job['shard'] !== expected) {
    const found = `${complete ? '' : 'incomplete '}shard ${String(job['shard'])}`;
    throw wrongShard(file, `expected shard ${expected}, received ${found}`);
  }
  const bytes = await fileBytes(file);
  if (bytes === done.bytes) return checkpoint;
  throw wrongShard(file, `expected the ${done.bytes} bytes of its checkpoint, received ${bytes}`);
}

function wrongShard(file: string, problem: string): SpeccascadeError {
  return new SpeccascadeError('ERR_INPUT', `shards: ${file}: ${problem}`);
}

/** A line of each in turn, until none has one. */
async function* dealt(
  shards: readonly AsyncIterator<Source, void>[],
  names: readonly string[],
): AsyncGenerator<Buffer, void, undefined> {
  let firstEnded: string | undefined;
  for (let i = 0, ended = 0; ended < shards.length; i = (i + 1) % shards.length) {
    const next = await shards[i]!.next();
    if (next.done === true) {
      firstEnded ??= names[i]!;
      ended += 1;
    } else if (firstEnded !== undefined) {
      const problem = `has a line for which ${firstEnded} has no predecessor`;
      throw new SpeccascadeError('ERR_INPUT', `shards: ${names[i]} ${problem}`);
    } else {
      if (next.value instanceof SpeccascadeError) throw next.value;
      yield Buffer.concat([next.value, lineEnd]);
    }
  }
}
