/**
 * A coverage-guided fuzzer: inputs that take a branch no input took before, or take it a different
 * number of times, are kept and changed further.
 */
import { generator, mutate, type Random } from './mutate.ts';

export interface Target {
  name: string;
  seeds: Uint8Array[];
  /** Strings that mean something to the parser. */
  words: string[];
  /** True: accepted, false: refused with the right error. Throws if anything else happens. */
  run(input: Uint8Array): boolean;
}

export interface Exploration {
  runs: number;
  accepted: number;
  refused: number;
  /** Inputs kept because they were new. */
  kept: number;
  /** Branches taken at least once, numbers into the counters. */
  branches: Set<number>;
}

/** An input that broke the target. */
export class FuzzFailure extends Error {
  constructor(target: string, input: Uint8Array, cause: unknown) {
    const bytes = Buffer.from(input).toString('base64');
    super(`${target}: ${(cause as Error).message}\ninput in base64: ${bytes}`, { cause });
  }
}

/** Runs `target` on its seeds and `runs` changed inputs, or until `deadline` (Date.now()). */
export function explore(
  target: Target,
  counters: Uint32Array,
  { runs, seed, deadline = Infinity }: { runs: number; seed: number; deadline?: number },
): Exploration {
  const random = generator(seed);
  const corpus: Uint8Array[] = [];
  const seen = new Set<number>();
  const result: Exploration = { runs: 0, accepted: 0, refused: 0, kept: 0, branches: new Set() };
  const tryInput = (input: Uint8Array): void => {
    counters.fill(0);
    result.runs++;
    if (attempt(target, input)) result.accepted++;
    else result.refused++;
    if (noteNew(counters, seen, result.branches)) corpus.push(input);
  };
  for (const input of target.seeds) tryInput(input);
  while (result.runs < runs && (result.runs % 1024 !== 0 || Date.now() < deadline)) {
    tryInput(mutate(choose(corpus, random), corpus[random(corpus.length)]!, target.words, random));
  }
  result.kept = corpus.length;
  return result;
}

/** Later inputs, which got further, more often. */
function choose(corpus: readonly Uint8Array[], random: Random): Uint8Array {
  const last = corpus.length - 1;
  return corpus[random(2) === 0 ? random(corpus.length) : last - random(Math.min(16, last + 1))]!;
}

function attempt(target: Target, input: Uint8Array): boolean {
  try {
    return target.run(input);
  } catch (error) {
    throw new FuzzFailure(target.name, input, error);
  }
}

/** Whether a branch, or a count of its class (1, 2, 3, 4-7, 8-15, ...), is new. */
function noteNew(counters: Uint32Array, seen: Set<number>, branches: Set<number>): boolean {
  const before = seen.size;
  for (let branch = 0; branch < counters.length; branch++) {
    const count = counters[branch]!;
    if (count === 0) continue;
    branches.add(branch);
    const size = count < 4 ? count : Math.min(1 + (32 - Math.clz32(count)), 9);
    seen.add(branch * 16 + size);
  }
  return seen.size > before;
}
