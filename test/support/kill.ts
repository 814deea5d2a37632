/** Batch jobs of the command line that are killed at random moments and resumed. */
import { statSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { end, start } from './cli.ts';

export interface Kill {
  /** Milliseconds from the start of the process to its end. */
  afterMs: number;
  /** Bytes of the output as the kill left them. */
  bytes: number;
  /** What the process was at: 'start' is loading and resuming. */
  during: 'start' | 'decoding';
}

/** Share of kills that come while the program starts, loads and resumes. */
const startShare = 0.25;
const longestStartMs = 1500;

/** `arguments_`: of a job with --resume. null: it came to its end before its kill. */
export async function killOnce(
  arguments_: readonly string[],
  output: string,
  random: () => number,
  longestMs: number,
): Promise<Kill | null> {
  const before = size(output);
  const begin = performance.now();
  const child = start(arguments_);
  const ended = end(child);
  const during = random() < startShare ? 'start' : 'decoding';
  let over = false;
  void ended.then(() => (over = true));
  const written = (): boolean => over || size(output) > before;
  if (during === 'start') {
    // A fast machine may have started before that, and would soon be through.
    const latest = begin + random() * longestStartMs;
    while (!written() && performance.now() < latest) await wait(5);
  } else {
    while (!written()) await wait(5);
    await wait(random() * longestMs);
  }
  child.kill('SIGKILL');
  const { code, err } = await ended;
  if (code === 0) return null;
  if (code !== null) throw new Error(`the job failed before it was killed (${code}): ${err}`);
  return { afterMs: performance.now() - begin, bytes: size(output), during };
}

function size(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** Numbers in [0, 1) from a seed, so that a run can be repeated as far as time allows. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
