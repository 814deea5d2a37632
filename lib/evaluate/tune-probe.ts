/** What a session costs per step, and how far its drafts get: measured on a sample. */
import { createSession } from '../session.ts';
import type { Result } from '../session/result.ts';
import type { MethodSession } from './method.ts';

export interface Sample {
  inputs: readonly Int32Array[];
  temperature: number;
  seed: bigint;
  batch: number;
  maxNewTokens: number;
  signal: AbortSignal;
}

export interface Probe {
  /** Milliseconds of a step: drafting, the target's pass and the test. */
  stepMs: number;
  /** Passes of the drafter in a step. */
  draftCallsPerStep: number;
  /** Milliseconds of encoding, all models, per token of the output. */
  encodeMsPerToken: number;
  tokensPerStep: number;
  /** Of the steps in which depth d was reached, the share that went on: acceptance, depth 1 first. */
  acceptance: number[];
}

/** How a step ended: so many tokens, of which so many are accepted drafts. */
interface StepEnd {
  tokens: number;
  accepted: number;
}

/** One text warms up and does not count. */
export async function probe(method: MethodSession, depth: number, sample: Sample): Promise<Probe> {
  const { inputs, temperature, seed, signal } = sample;
  const session = await createSession({
    ...method,
    sampling: { temperature, seed },
    maxNewTokens: sample.maxNewTokens,
    maxInputTokens: Math.max(...inputs.map(({ length }) => length)),
    maxBatch: sample.batch,
  });
  try {
    await session.generate(inputs[0]!, { signal });
    const steps: StepEnd[] = [];
    const follow = async (input: Int32Array): Promise<Result> => {
      let last: Result | undefined;
      for await (const { tokens, accepted, result } of session.stream(input, { signal })) {
        steps.push({ tokens: tokens.length, accepted });
        last = result ?? last;
      }
      return last!;
    };
    const results = await Promise.all(inputs.map(follow));
    return { ...costsOf(results), acceptance: acceptanceByDepth(steps, depth) };
  } finally {
    await session.close();
  }
}

function costsOf(results: readonly Result[]): Omit<Probe, 'acceptance'> {
  const sum = (pick: (result: Result) => number): number =>
    results.reduce((subtotal, one) => subtotal + pick(one), 0);
  const steps = sum(({ stats }) => stats.targetCalls);
  const tokens = sum((result) => result.tokens.length);
  const draftCalls = sum(({ stats }) => stats.draftCalls.reduce((a, b) => a + b, 0));
  return {
    stepMs: sum(({ stats }) => stats.decodeMs) / steps,
    draftCallsPerStep: draftCalls / steps,
    encodeMsPerToken: sum(({ stats }) => stats.encodeMs) / tokens,
    tokensPerStep: tokens / steps,
  };
}

/**
 * A step that emits one token more than it accepted was refused there, or its draft went no further;
 * one that emits just what it accepted ended with the output, which says nothing of the next depth.
 */
export function acceptanceByDepth(steps: readonly StepEnd[], depth: number): number[] {
  return Array.from({ length: depth }, (_, d) => {
    const passed = steps.filter(({ accepted }) => accepted > d).length;
    const refused = steps.filter((one) => one.accepted === d && one.tokens > d).length;
    return passed + refused > 0 ? passed / (passed + refused) : 0;
  });
}
