/** What a session tells of itself: counters that only rise, gauges, and times by size. */
import type { NativeSessionStats } from '../native.ts';
import { finishStats, type ResultStats } from './result.ts';

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
  /** Sequences that can be decoded together: `maxBatch`; of a sequence cascade, twice that. */
  slots: number;
  /** Steps of the engine, each for all active sequences; few have no pass of the target. */
  steps: number;
  /** Active sequences added up over the steps. */
  slotSteps: number;
  /** slotSteps / (steps * slots): 1 where every step was full; 0 before the first. */
  slotUse: number;
  /** Outputs that have ended, in whatever way. */
  outputs: number;
  /** Tokens emitted, of running outputs too. */
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
}

export function sessionStats(native: NativeSessionStats, context: StatsContext): SessionStats {
  const { totals, tokens, steps, slotSteps, encodeMs, decodeMs } = native;
  const { slots, queueLimit, pending, refused } = context;
  return {
    queued: native.queued + pending,
    queueLimit,
    active: native.active,
    slots,
    steps,
    slotSteps,
    slotUse: steps > 0 ? slotSteps / (steps * slots) : 0,
    outputs: totals.requests + refused,
    tokens,
    encodeMs,
    decodeMs,
    tokensPerSecond: perSecond(tokens, encodeMs + decodeMs),
    timeInQueue: native.inQueue,
    timeToFirstToken: native.firstToken,
    timeBetweenTokens: native.betweenTokens,
    totals: finishStats(totals),
    cacheBytes: native.cacheBytes,
  };
}

/** Times that are counted here and not by the engine, in the engine's classes. */
export class CountedTimes {
  readonly #times: Latencies;

  constructor(boundsMs: readonly number[]) {
    const counts = new Array<number>(boundsMs.length + 1).fill(0);
    this.#times = { boundsMs: [...boundsMs], counts, count: 0, sumMs: 0 };
  }

  add(ms: number): void {
    const found = this.#times.boundsMs.findIndex((bound) => ms <= bound);
    this.#times.counts[found < 0 ? this.#times.boundsMs.length : found]! += 1;
    this.#times.count += 1;
    this.#times.sumMs += ms;
  }

  addedTo(times: Latencies): Latencies {
    return addedLatencies(times, this.#times);
  }
}

/**
 * The statistics of the two engines that serve a sequence cascade, without what is counted per
 * output. Each output queues at the small one, so that times in the queue are its own, and gives its
 * tokens from the large one or, kept, at once.
 */
export function addedStats(
  small: SessionStats,
  large: SessionStats,
  kept: CountedTimes,
): Omit<SessionStats, 'outputs' | 'tokens' | 'tokensPerSecond' | 'totals'> {
  const steps = small.steps + large.steps;
  const slotSteps = small.slotSteps + large.slotSteps;
  const slots = small.slots + large.slots;
  return {
    queued: small.queued + large.queued,
    queueLimit: small.queueLimit,
    active: small.active + large.active,
    slots,
    steps,
    slotSteps,
    slotUse: steps > 0 ? slotSteps / (steps * slots) : 0,
    encodeMs: small.encodeMs + large.encodeMs,
    decodeMs: small.decodeMs + large.decodeMs,
    timeInQueue: small.timeInQueue,
    timeToFirstToken: kept.addedTo(large.timeToFirstToken),
    timeBetweenTokens: large.timeBetweenTokens,
    cacheBytes: small.cacheBytes + large.cacheBytes,
  };
}

export function perSecond(tokens: number, ms: number): number {
  return ms > 0 ? (1000 * tokens) / ms : 0;
}

function addedLatencies(a: Latencies, b: Latencies): Latencies {
  return {
    boundsMs: a.boundsMs,
    counts: a.counts.map((count, i) => count + b.counts[i]!),
    count: a.count + b.count,
    sumMs: a.sumMs + b.sumMs,
  };
}
