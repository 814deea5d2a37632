/** Where a job reads and writes: what is wrong with it can be told before any model is loaded. */
import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { ioError, SpeccascadeError } from '../errors.ts';
import { inputError } from '../validate.ts';
import { compressionOf } from './compression.ts';
import { fileBytes } from './input.ts';
import { jobFile, readJobFile, type Done, type JobFile } from './job-file.ts';
import type { BatchSettings } from './options.ts';

type Places = Pick<BatchSettings, 'input' | 'output' | 'resume' | 'overwrite'>;

/** Touches nothing. Throws ERR_INPUT, ERR_IO: whatever a job that begins now would find. */
export async function checkPlaces(places: Places): Promise<void> {
  const { input, output } = places;
  if (typeof input === 'string' && input !== '-') {
    await fileBytes(input);
    compressionOf(input);
  }
  if (output !== '-') await checkOutput(places);
}

/**
 * The checkpoint of the job to go on with; null: a new job, whose place is free. Throws ERR_INPUT (an
 * output that exists, is gone, or is shorter than its checkpoint says), ERR_IO.
 */
export async function checkOutput(places: Places): Promise<JobFile | null> {
  const { output, resume, overwrite } = places;
  compressionOf(output);
  await checkPlace(places);
  const found = resume ? await readJobFile(output) : null;
  if (found !== null) await checkThere(output, found.done);
  else if (!overwrite) await checkFree(output, resume);
  return found;
}

/** Places that cannot be written at, and those that must not be: of the job's two files none is the input. */
async function checkPlace({ input, output }: Places): Promise<void> {
  if (typeof input === 'string' && input !== '-') {
    for (const file of [output, jobFile(output)]) await checkOther('output', file, input);
  }
  const there = await statOf(output);
  if (there === null) return checkFolder(output);
  if (!there.isFile()) throw inputError('output', "a regular file or '-'", output);
}

/** Throws ERR_INPUT, naming the option of the output, for a regular file that is the input too. */
export async function checkOther(name: string, output: string, input: string): Promise<void> {
  const [there, from] = [await statOf(output), await statOf(input)];
  if (there?.isFile() !== true || from === null) return;
  if (from.dev !== there.dev || from.ino !== there.ino) return;
  throw inputError(name, 'another file than the input', output);
}

/** Names the missing folder the caller gave, not the checkpoint file inside it. */
async function checkFolder(output: string): Promise<void> {
  const folder = path.dirname(output);
  if ((await statOf(folder)) !== null) return;
  throw new SpeccascadeError('ERR_IO', `${output}: there is no folder ${folder}`);
}

/** Throws ERR_INPUT where a job has been, or something else is. */
async function checkFree(output: string, resume: boolean): Promise<void> {
  for (const file of [output, jobFile(output)]) {
    if ((await statOf(file)) === null) continue;
    const problem = resume
      ? `has no checkpoint (${jobFile(output)}) to resume from`
      : 'exists already; resume goes on with an interrupted job, overwrite begins anew';
    throw new SpeccascadeError('ERR_INPUT', `output: ${file} ${problem}`);
  }
}

/** Throws ERR_INPUT for an output that does not hold what its checkpoint says. */
async function checkThere(output: string, { records, bytes }: Done): Promise<void> {
  if (bytes === 0) return;
  const there = await statOf(output);
  if (there === null) {
    const problem =
      `is missing, but by its checkpoint (${jobFile(output)}) it holds ${records} records; ` +
      'put it back, or begin anew (overwrite)';
    throw new SpeccascadeError('ERR_INPUT', `output: ${output} ${problem}`);
  }
  if (there.size < bytes) {
    const problem = `expected at least the ${bytes} bytes of its checkpoint, found ${there.size}`;
    throw new SpeccascadeError('ERR_INPUT', `output: ${output}: ${problem}`);
  }
}

async function statOf(file: string): Promise<Stats | null> {
  try {
    return await stat(file);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw ioError(file, cause);
  }
}
