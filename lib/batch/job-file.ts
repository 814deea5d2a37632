/** The file beside an output that says how far the job is, and what job it is. */
import { open, readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { ioError, SpeccascadeError } from '../errors.ts';
import { show } from '../validate.ts';
import type { Job } from './job.ts';

export const jobFormat = 'speccascade-batch/1';

/** How far a job is. */
export interface Done {
  /** Lines, all of them whole, and the bytes of the output that hold them. */
  records: number;
  bytes: number;
  /** Of what these records were read from. */
  inputSha256: string;
  failed: number;
  tokens: number;
}

export interface JobFile {
  format: typeof jobFormat;
  /** The run that writes the output: one that finds another here has been replaced by it. */
  owner: string;
  /** Whether the input was at its end. */
  complete: boolean;
  /** The hash of all its records, those of other shards included; null: it was not. */
  wholeInput: string | null;
  done: Done;
  job: Job;
}

export function jobFile(output: string): string {
  return `${output}.job.json`;
}

/** null: there is none. Throws ERR_IO, and ERR_INPUT for a file that is no checkpoint. */
export async function readJobFile(output: string): Promise<JobFile | null> {
  const file = jobFile(output);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw ioError(file, cause);
  }
  const value = parsed(text) as Partial<JobFile> | null;
  const done = value?.done;
  const numbers = [done?.records, done?.bytes, done?.failed, done?.tokens];
  const sound =
    value?.format === jobFormat &&
    typeof value.job === 'object' &&
    value.job !== null &&
    typeof done?.inputSha256 === 'string' &&
    (value.complete !== true || typeof value.wholeInput === 'string') &&
    numbers.every((number) => Number.isSafeInteger(number) && number! >= 0);
  if (sound) return value as JobFile;
  throw new SpeccascadeError(
    'ERR_INPUT',
    `${file}: expected a checkpoint (format ${jobFormat}), received ${show(text)}`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Puts a checkpoint in the place of the last one: whatever happens, one of the two is there, whole. */
export async function writeJobFile(output: string, checkpoint: JobFile): Promise<void> {
  const file = jobFile(output);
  const temporary = `${file}.${checkpoint.owner}.tmp`;
  try {
    const handle = await open(temporary, 'w');
    try {
      await handle.writeFile(`${JSON.stringify(checkpoint, null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file).catch((cause: NodeJS.ErrnoException) => {
      throw cause.code === 'ENOENT' ? takenOver(output) : cause; // removeTemporaries() of another run
    });
    await syncFolder(path.dirname(file));
  } catch (cause) {
    await rm(temporary, { force: true });
    throw ioError(file, cause);
  }
}

export function takenOver(output: string): SpeccascadeError {
  const problem = 'another run has taken this job over, or its checkpoint was removed';
  return new SpeccascadeError('ERR_IO', `${jobFile(output)}: ${problem}`);
}

/** What runs that were killed in the middle of writeJobFile() have left. */
export async function removeTemporaries(output: string): Promise<void> {
  const file = jobFile(output);
  const folder = path.dirname(file);
  try {
    for (const name of await readdir(folder)) {
      const left = name.startsWith(`${path.basename(file)}.`) && name.endsWith('.tmp');
      if (left) await rm(path.join(folder, name), { force: true });
    }
  } catch (cause) {
    throw ioError(file, cause);
  }
}

/** So that the new name outlives a loss of power. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
