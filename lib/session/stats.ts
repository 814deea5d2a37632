/** What a session tells of itself: counters that only rise, gauges, and times by size. */
import type { NativeLatencies, NativeSessionStats } from '../native.ts';
import { resultStats, type ResultStats } from './result.ts';

/** Wall-clock times of one kind since the session began. All three only rise. */
export interface Latencies {
  /** Upper ends of the classes in milliseconds, ascending, inclusive; the last class has none. */
  boundsMs: number[];
  /** Times per class, one class more than bounds; not cumulative. */
  counts: number[];
  /** All times. */
  count: number;
  /** Milliseconds, added up. */
  sumMs: number;
}

export interface SessionStats {
  /** Requests waiting for a slot with at least one of their outputs; gauge. */
  queued: number;
  /** Requests that may wait (`maxQueue`); calls beyond it wait for admission and count in `queued`. */
  queueLimit: number;
  /** Sequences being decoded; gauge. */
  active: number;
  /** Sequences that can be decoded together (`maxBatch`). */
  slots: number;
  /** Target passes of the engine; each serves all active sequences. */
  steps: number;
  /** Active sequences added up over the steps. */
  slotSteps: number;
  /** slotSteps / (steps * slots): 1 where every step was full; 0 before the first. */
  slotUse: number;
  /** Outputs that have ended, in whatever way. */
  outputs: number;
  /** Tokens emitted. */
  tokens: number;
  /** Milliseconds of encoder passes, wall-clock. */
  encodeMs: number;
  /** Milliseconds of decoding steps, wall-clock. */
  decodeMs: number;
  /** Tokens per second of encodeMs + decodeMs: idle time does not count. 0 before the first. */
  tokensPerSecond: number;
  /** Per output: from the call to its slot. */
  timeInQueue: Latencies;
  /** Per output: from the call to its first token. */
  timeToFirstToken: Latencies;
  /** Per step of an output after its first: since its tokens before. Tokens of a step come together. */
  timeBetweenTokens: Latencies;
  /** Counters of the outputs that have ended, added up. */
  totals: ResultStats;
  /** Bytes planned for caches and work space, known from the beginning. */
  cacheBytes: number;
}

/** A session's side of its statistics. */
interface StatsContext {
  /** Requests that wait for admission. */
  pending: number;
  /** Outputs that have ended without the engine. */
  refused: number;
  queueLimit: number;
  slots: number;
  drafters: number;
  /** Whether the session's rule defers. */
  defers: boolean;
}

export function sessionStats(native: NativeSessionStats, context: StatsContext): SessionStats {
  const { totals, steps, slotSteps, encodeMs, decodeMs } = native;
  const { requests, tokens, ...counters } = totals;
  const { slots, drafters, defers, queueLimit, pending, refused } = context;
  return {
    queued: native.queued + pending,
    queueLimit,
    active: native.active,
    slots,
    steps,
    slotSteps,
    slotUse: steps > 0 ? slotSteps / (steps * slots) : 0,
    outputs: requests + refused,
    tokens,
    encodeMs,
    decodeMs,
    tokensPerSecond: perSecond(tokens, encodeMs + decodeMs),
    timeInQueue: native.inQueue,
    timeToFirstToken: native.firstToken,
    timeBetweenTokens: native.betweenTokens,
    totals: resultStats(counters, tokens, drafters, defers),
    cacheBytes: native.cacheBytes,
  };
}

/** The statistics of two engines that serve one session, without outputs, tokens and totals. */
export function addedStats(
  a: SessionStats,
  b: SessionStats,
): Omit<SessionStats, 'outputs' | 'tokens' | 'tokensPerSecond' | 'totals'> {
  const steps = a.steps + b.steps;
  const slotSteps = a.slotSteps + b.slotSteps;
  return {
    queued: a.queued + b.queued,
    queueLimit: a.queueLimit,
    active: a.active + b.active,
    slots: a.slots,
    steps,
    slotSteps,
    slotUse: steps > 0 ? slotSteps / (steps * a.slots) : 0,
    encodeMs: a.encodeMs + b.encodeMs,
    decodeMs: a.decodeMs + b.decodeMs,
    timeInQueue: addedLatencies(a.timeInQueue, b.timeInQueue),
    timeToFirstToken: addedLatencies(a.timeToFirstToken, b.timeToFirstToken),
    timeBetweenTokens: addedLatencies(a.timeBetweenTokens, b.timeBetweenTokens),
    cacheBytes: a.cacheBytes + b.cacheBytes,
  };
}

export function perSecond(tokens: number, ms: number): number {
  return ms > 0 ? (1000 * tokens) / ms : 0;
}

function addedLatencies(a: NativeLatencies, b: NativeLatencies): Latencies {
  return {
    boundsMs: a.boundsMs,
    counts: a.counts.map((count, i) => count + b.counts[i]!),
    count: a.count + b.count,
    sumMs: a.sumMs + b.sumMs,
  };
}
