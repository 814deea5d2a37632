/** What a session measures, in the form that metrics libraries take: names, types, labels, values. */
import type { Latencies, SessionStats } from './session/stats.ts';
import { checkObject, inputError } from './validate.ts';

export interface MetricSample {
  /** The metric's name; of histograms with `_bucket`, `_sum` or `_count` after it. */
  name: string;
  /** Of buckets, `le` as well: the upper end in seconds, inclusive; '+Inf' for all. */
  labels: Record<string, string>;
  value: number;
}

/** One metric by the conventions of Prometheus: base units, cumulative buckets. */
export interface Metric {
  name: string;
  help: string;
  /** Counters and the samples of histograms only rise. */
  type: 'counter' | 'gauge' | 'histogram';
  samples: MetricSample[];
}

type Source = { stats(): SessionStats };

/** One of several sessions, and the labels that tell it from the others. */
export type LabelledSession = readonly [session: Source, labels: Record<string, string>];

type Scalar = [name: string, type: 'counter' | 'gauge', help: string, value: number];

/**
 * All metrics of a session, or of several, whose samples each metric then has side by side: queue
 * depth, slot use, tokens, acceptance and times. Costs what `session.stats()` does. `labels` go with
 * every sample. Errors: ERR_INPUT, also for two sessions with the same labels.
 */
export function sessionMetrics(
  sessions: Source | readonly LabelledSession[],
  labels: Record<string, string> = {},
): Metric[] {
  checkLabels('labels', labels);
  const each = labelled(sessions, labels).map(([session, own]) => metricsOf(session.stats(), own));
  const [first = []] = each;
  return first.map((metric, i) => ({
    ...metric,
    samples: each.flatMap((metrics) => metrics[i]!.samples),
  }));
}

/** Each session with all of its labels, checked. */
function labelled(
  sessions: Source | readonly LabelledSession[],
  shared: Record<string, string>,
): LabelledSession[] {
  if (!isList(sessions)) {
    checkSession('session', sessions);
    return [[sessions, shared]];
  }
  const seen: string[] = [];
  return Array.from(sessions, (pair: unknown, i) => {
    const name = `sessions[${i}]`;
    if (!Array.isArray(pair)) throw inputError(name, 'a list of a session and its labels', pair);
    const [session, own] = pair as unknown as LabelledSession;
    checkSession(`${name}[0]`, session);
    checkLabels(`${name}[1]`, own);
    const labels = { ...shared, ...own };
    const key = JSON.stringify(Object.entries(labels).sort());
    const same = seen.indexOf(key);
    if (same >= 0) throw inputError(name, `labels other than those of sessions[${same}]`, key);
    seen.push(key);
    return [session, labels];
  });
}

/** By the conventions of Prometheus; `le` is the histograms' own. */
function checkLabels(name: string, labels: object): void {
  for (const [label, value] of Object.entries(checkObject(name, labels))) {
    if (!/^[a-zA-Z_]\w*$/.test(label) || label === 'le') {
      throw inputError(name, 'names of letters, digits and _, other than le', label);
    }
    if (typeof value !== 'string') throw inputError(`${name}.${label}`, 'a text', value);
  }
}

function isList(value: Source | readonly LabelledSession[]): value is readonly LabelledSession[] {
  return Array.isArray(value);
}

function checkSession(name: string, session: unknown): void {
  const { stats } = (session ?? {}) as { stats?: unknown };
  if (typeof stats !== 'function') throw inputError(name, 'a DecodeSession', session);
}

function metricsOf(stats: SessionStats, labels: Record<string, string>): Metric[] {
  return [
    ...scalars(stats).map(([name, type, help, value]) => ({
      name,
      help,
      type,
      samples: [{ name, labels, value }],
    })),
    histogram('speccascade_queue_seconds', 'From the call to a slot.', stats.timeInQueue, labels),
    histogram(
      'speccascade_time_to_first_token_seconds',
      'From the call to the first token.',
      stats.timeToFirstToken,
      labels,
    ),
    histogram(
      'speccascade_time_between_tokens_seconds',
      'Between the steps of an output that gave tokens.',
      stats.timeBetweenTokens,
      labels,
    ),
  ];
}

function scalars(stats: SessionStats): Scalar[] {
  const { totals } = stats;
  return [
    ['speccascade_queued_requests', 'gauge', 'Requests that wait for a slot.', stats.queued],
    ['speccascade_queue_limit', 'gauge', 'Requests that may wait.', stats.queueLimit],
    ['speccascade_active_slots', 'gauge', 'Sequences being decoded.', stats.active],
    ['speccascade_slots', 'gauge', 'Sequences that can be decoded together.', stats.slots],
    ['speccascade_steps_total', 'counter', 'Passes of the target model.', stats.steps],
    ['speccascade_slot_steps_total', 'counter', 'Active slots over all steps.', stats.slotSteps],
    [
      'speccascade_slot_capacity_steps_total',
      'counter',
      'Slots over all steps, active or not.',
      stats.steps * stats.slots,
    ],
    ['speccascade_outputs_total', 'counter', 'Outputs that ended, in any way.', stats.outputs],
    ['speccascade_tokens_total', 'counter', 'Tokens emitted.', stats.tokens],
    [
      'speccascade_tokens_per_second',
      'gauge',
      'Tokens per second of encoding and decoding since the session began.',
      stats.tokensPerSecond,
    ],
    ['speccascade_draft_tokens_total', 'counter', 'Drafted tokens.', totals.proposed],
    ['speccascade_draft_tested_total', 'counter', 'Drafted positions tested.', totals.tested],
    ['speccascade_draft_accepted_total', 'counter', 'Drafted tokens accepted.', totals.accepted],
    ['speccascade_encode_seconds_total', 'counter', 'Encoder passes.', stats.encodeMs / 1000],
    ['speccascade_decode_seconds_total', 'counter', 'Decoding steps.', stats.decodeMs / 1000],
    ['speccascade_cache_bytes', 'gauge', 'Planned for caches and work space.', stats.cacheBytes],
  ];
}

function histogram(
  name: string,
  help: string,
  times: Latencies,
  labels: Record<string, string>,
): Metric {
  let below = 0;
  const buckets = times.boundsMs.map((bound, i) => ({
    name: `${name}_bucket`,
    labels: { ...labels, le: String(bound / 1000) },
    value: (below += times.counts[i]!),
  }));
  const last = { name: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: times.count };
  const sum = { name: `${name}_sum`, labels, value: times.sumMs / 1000 };
  const count = { name: `${name}_count`, labels, value: times.count };
  return { name, help, type: 'histogram', samples: [...buckets, last, sum, count] };
}
