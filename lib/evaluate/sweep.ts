/**
 * Methods over the same inputs. The inputs are dealt into parts, and every method does a part before
 * any does the next: times of a part are comparable, whatever the machine does meanwhile, and their
 * medians over parts are what is reported. Quality is that of all parts together.
 */
import { deriveSeed } from '../session/seeds.ts';
import type { Method } from './method.ts';
import type { Runs } from './run-log.ts';
import { checkRunnable, runMethod, type Run } from './run.ts';

export interface SweepPlan {
  methods: readonly Method[];
  temperatures: readonly number[];
  /** Token ids, the prefix included. */
  inputs: readonly Int32Array[];
  parts: number;
  batch: number;
  maxNewTokens: number;
  seed: bigint;
  log: Runs;
  signal: AbortSignal;
  /** Before each run; `done` of `total` are there. */
  onRun: (progress: { method: string; part: number; done: number; total: number }) => void;
}

/** So many methods run between two runs of the target alone, whose time is what they compare with. */
const referenceEvery = 6;

interface Place {
  part: number;
  temperature: number;
}

/** Throws what the first session that cannot be would, hours later perhaps. */
export function checkSweep(
  plan: Pick<SweepPlan, 'methods' | 'temperatures' | 'inputs' | 'batch' | 'maxNewTokens' | 'seed'>,
): void {
  for (const temperature of plan.temperatures) {
    for (const method of plan.methods) {
      checkRunnable(method, { ...plan, temperature, maxInputTokens: longest(plan.inputs) });
    }
  }
}

/** Does what the log does not have yet. `methods` hold the target. */
export async function sweep(plan: SweepPlan): Promise<void> {
  const { methods, temperatures, parts, log } = plan;
  const places = Array.from({ length: parts }, (_, part) =>
    temperatures.map((temperature): Place => ({ part, temperature })),
  ).flat();
  const total = places.length * methods.length;
  let done = 0;
  for (const place of places) {
    const reference = new Reference(plan, place);
    for (const method of methods) {
      plan.signal.throwIfAborted();
      if (log.find(method.id, place.temperature, place.part) === undefined) {
        plan.onRun({ method: method.id, part: place.part, done, total });
        await log.add(await reference.compare(method));
      }
      done += 1;
    }
  }
}

/** The target's own time at one place of the sweep: measured anew as the machine's mood may change. */
class Reference {
  readonly #plan: SweepPlan;
  readonly #place: Place;
  #msPerToken = 0;
  #uses = Infinity;

  constructor(plan: SweepPlan, place: Place) {
    this.#plan = plan;
    this.#place = place;
  }

  async compare(method: Method): Promise<Run> {
    if (method.kind !== 'target' && this.#uses >= referenceEvery) {
      this.#note(await this.#run(this.#plan.methods.find(({ kind }) => kind === 'target')!));
    }
    const run = await this.#run(method);
    if (method.kind === 'target') this.#note(run);
    this.#uses += 1;
    return { ...run, targetMsPerToken: this.#msPerToken };
  }

  #note({ ms, tokens }: Pick<Run, 'ms' | 'tokens'>): void {
    this.#msPerToken = ms / tokens;
    this.#uses = 0;
  }

  #run(method: Method): Promise<Omit<Run, 'targetMsPerToken'>> {
    const { inputs, parts, batch, maxNewTokens, signal, seed } = this.#plan;
    const { part } = this.#place;
    return runMethod(method, {
      ...{ ...this.#place, batch, maxNewTokens, signal },
      maxInputTokens: longest(inputs),
      inputs: partOf(inputs, part, parts),
      seed: deriveSeed(seed, part),
    });
  }
}

function longest(inputs: readonly Int32Array[]): number {
  return Math.max(...inputs.map(({ length }) => length));
}

/** Every parts-th item: the parts are alike even where the file is sorted. */
export function partOf<T>(items: readonly T[], part: number, parts: number): T[] {
  return items.filter((_, i) => i % parts === part);
}
