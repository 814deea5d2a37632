/** One method over one part of the inputs: its outputs, counters and time. */
import { SpeccascadeError } from '../errors.ts';
import { createSession } from '../session.ts';
import { checkSessionOptions, type SessionOptions } from '../session/options.ts';
import type { Result } from '../session/result.ts';
import type { Method } from './method.ts';

/** Counters of results added up; `draftCalls` has a place per drafter. */
interface Counters {
  tokens: number;
  targetCalls: number;
  draftCalls: number[];
  proposed: number;
  tested: number;
  accepted: number;
  /** Decisions to defer or not: tested positions, all positions or whole outputs. */
  decided: number;
  /** Deferral summed over them; null where the rule has none. */
  deferred: number | null;
}

export interface Run extends Counters {
  method: string;
  temperature: number;
  part: number;
  /** Wall-clock of all texts of the part, encoding included. */
  ms: number;
  /** Milliseconds per token of the target alone on the same part, measured shortly before. */
  targetMsPerToken: number;
  outputs: string[];
}

interface SessionPlan {
  temperature: number;
  seed: bigint;
  batch: number;
  maxNewTokens: number;
  /** Sizes the session, the same for all parts. */
  maxInputTokens: number;
}

interface RunPlan extends SessionPlan {
  part: number;
  inputs: readonly Int32Array[];
  signal: AbortSignal;
}

function sessionOptionsOf({ session }: Method, plan: SessionPlan): SessionOptions {
  const { temperature, seed, batch, maxNewTokens, maxInputTokens } = plan;
  const sizes = { maxNewTokens, maxInputTokens, maxBatch: batch };
  return { ...session, sampling: { temperature, seed }, ...sizes };
}

/** Throws, with the method's name, what its session would refuse. */
export function checkRunnable(method: Method, plan: SessionPlan): void {
  try {
    checkSessionOptions(sessionOptionsOf(method, plan));
  } catch (cause) {
    if (!(cause instanceof SpeccascadeError)) throw cause;
    const message = `method ${JSON.stringify(method.id)}: ${cause.message}`;
    throw new SpeccascadeError(cause.code, message, { cause });
  }
}

/** Opening the session and one text to warm up are not timed. */
export async function runMethod(
  method: Method,
  plan: RunPlan,
): Promise<Omit<Run, 'targetMsPerToken'>> {
  const { temperature, part, inputs, signal } = plan;
  const session = await createSession(sessionOptionsOf(method, plan));
  try {
    await session.generate(inputs[0]!, { signal });
    const begin = performance.now();
    const results = await session.generate([...inputs], { signal });
    const ms = performance.now() - begin;
    const outputs = results.map(({ text }) => text ?? '');
    const counters = countersOf(method, results);
    return { method: method.id, temperature, part, ms, ...counters, outputs };
  } finally {
    await session.close();
  }
}

/** The only model of a session is its target; where that is a small one, its calls are a drafter's. */
function countersOf({ kind, session }: Method, results: readonly Result[]): Counters {
  const counters = addCounters(
    results.map(({ tokens, stats }) => ({
      tokens: tokens.length,
      targetCalls: stats.targetCalls,
      draftCalls: stats.draftCalls,
      proposed: stats.proposed,
      tested: stats.tested,
      accepted: stats.accepted,
      ...deferralOf(session, tokens.length, stats),
    })),
  );
  if (kind !== 'alone') return counters;
  return { ...counters, targetCalls: 0, draftCalls: [counters.targetCalls] };
}

/** What a result's rate is a share of is weighed by how much that was (docs/methods.md). */
function deferralOf(
  { strategy }: Method['session'],
  tokens: number,
  { deferralRate, tested }: Result['stats'],
): Pick<Counters, 'decided' | 'deferred'> {
  if (deferralRate === null) return { decided: 0, deferred: null };
  const whole = strategy === 'sequence-cascade' ? 1 : tokens;
  const decided = strategy === undefined || strategy === 'speculative' ? tested : whole;
  return { decided, deferred: deferralRate * decided };
}

export function addCounters(all: readonly Counters[]): Counters {
  const sum = (pick: (one: Counters) => number): number =>
    all.reduce((subtotal, one) => subtotal + pick(one), 0);
  const drafters = Math.max(0, ...all.map(({ draftCalls }) => draftCalls.length));
  const defers = all.some(({ deferred }) => deferred !== null);
  return {
    tokens: sum(({ tokens }) => tokens),
    targetCalls: sum(({ targetCalls }) => targetCalls),
    draftCalls: Array.from({ length: drafters }, (_, i) => sum((one) => one.draftCalls[i] ?? 0)),
    proposed: sum(({ proposed }) => proposed),
    tested: sum(({ tested }) => tested),
    accepted: sum(({ accepted }) => accepted),
    decided: sum(({ decided }) => decided),
    deferred: defers ? sum(({ deferred }) => deferred ?? 0) : null,
  };
}
