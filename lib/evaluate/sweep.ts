/**
 * Methods over the same inputs. The inputs are dealt into parts, and every method does a part before
 * any does the next: times of a part are comparable, whatever the machine does meanwhile, and their
 * medians over parts are what is reported. Quality is that of all parts together.
 */
import type { T5Model } from '../model.ts';
import { deriveSeed } from '../session/seeds.ts';
import type { Method } from './method.ts';
import type { RunLog } from './run-log.ts';
import { runMethod } from './run.ts';

export interface SweepPlan {
  methods: readonly Method[];
  temperatures: readonly number[];
  /** Token ids, the prefix included. */
  inputs: readonly Int32Array[];
  parts: number;
  batch: number;
  maxNewTokens: number;
  seed: bigint;
  log: RunLog;
  signal: AbortSignal;
  /** Before each run; `done` of `total` are there. */
  onRun: (progress: { method: string; part: number; done: number; total: number }) => void;
}

/** Does what the log does not have yet. */
export async function sweep(plan: SweepPlan): Promise<void> {
  const { methods, temperatures, inputs, parts, log } = plan;
  const total = parts * temperatures.length * methods.length;
  const maxInputTokens = Math.max(...inputs.map(({ length }) => length));
  let done = 0;
  for (let part = 0; part < parts; part++) {
    for (const temperature of temperatures) {
      for (const method of methods) {
        plan.signal.throwIfAborted();
        if (log.find(method.id, temperature, part) === undefined) {
          plan.onRun({ method: method.id, part, done, total });
          const shape = { batch: plan.batch, maxNewTokens: plan.maxNewTokens, maxInputTokens };
          const run = await runMethod(method, {
            ...{ temperature, part, signal: plan.signal, ...shape },
            inputs: partOf(inputs, part, parts),
            seed: deriveSeed(plan.seed, part),
          });
          await log.add(run);
        }
        done += 1;
      }
    }
  }
}

/** Every parts-th item: the parts are alike even where the file is sorted. */
export function partOf<T>(items: readonly T[], part: number, parts: number): T[] {
  return items.filter((_, i) => i % parts === part);
}

/** Tells one model from another by what it computes, weights and arithmetic alike. */
export async function fingerprintOf(model: T5Model, input: Int32Array): Promise<string> {
  const { createHash } = await import('node:crypto');
  const { data } = await model.encode([[...input]]);
  return createHash('sha256')
    .update(`${model.parameters} ${model.dtype} `)
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex')
    .slice(0, 16);
}
