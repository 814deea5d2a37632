/** What the lines of a job depend on: a job can be resumed only as the job it was. */
import { createHash } from 'node:crypto';
import { SpeccascadeError } from '../errors.ts';
import { fingerprintOf } from '../fingerprint.ts';
import type { NativeDraftPlan } from '../native.ts';
import type { RequestSettings, SessionSettings } from '../session/options.ts';
import { packageVersion } from '../version.ts';
import type { BatchSettings } from './options.ts';

/** Flat, so that the first difference can be named. */
export type Job = Record<string, string | number | boolean | null>;

/**
 * `inputBytes`: null where the input is no file. Not in it: maxBatch, threads and the order of
 * decoding, on which no result depends, and paths, so that a job may move.
 */
export async function describeJob(
  settings: BatchSettings,
  inputBytes: number | null,
): Promise<Job> {
  const { session, field, prefix, seed, tokens, counters, shard } = settings;
  return {
    version: packageVersion(), // sampling and acceptance may change from one to the next
    ...(await describeModels(session.settings)),
    ...describeDraft(session.settings),
    ...describeRequests(session.settings.defaults),
    ...describeLimits(session.settings),
    field,
    prefix,
    seed: String(seed),
    tokens,
    counters,
    shard: `${shard.index}/${shard.count}`,
    'input.bytes': inputBytes,
  };
}

async function describeModels({ target, draft, cascade }: SessionSettings): Promise<Job> {
  const models: Job = {
    target: await fingerprintOf(target),
    tokenizer: target.tokenizer?.fingerprint ?? null,
  };
  const small = cascade === null ? draft.models : [cascade.draft.model];
  for (const [i, model] of small.entries()) models[`draft.model${i}`] = await fingerprintOf(model);
  return models;
}

function describeDraft({ draft, verifier, cascade }: SessionSettings): Job {
  const plan: Job = { verifier, strategy: cascade?.strategy ?? 'speculative' };
  for (const key of Object.keys(draft.native) as (keyof NativeDraftPlan)[]) {
    plan[`draft.${key}`] = plain(draft.native[key]);
  }
  if (cascade === null) return plan;
  const { score, threshold, quantile } = cascade;
  plan['cascade.score'] = score;
  plan['cascade.threshold'] = String(threshold);
  plan['cascade.quantile'] = quantile;
  return plan;
}

function describeRequests(requests: RequestSettings): Job {
  const { rule, ...rest } = requests;
  const entries = Object.entries(rest)
    .filter(([name]) => name !== 'seed') // the job's stands in its place
    .map(([name, value]) => [name, plain(value)] as const);
  const { kind, alpha, beta } = rule;
  // As texts, since JSON has no infinities.
  return { rule: kind, alpha: String(alpha), beta: String(beta), ...Object.fromEntries(entries) };
}

function describeLimits(session: SessionSettings): Job {
  const { maxInputTokens, truncate, prefix, eosTokens } = session;
  return { maxInputTokens, truncate, decoderPrefix: plain(prefix), eosTokens: plain(eosTokens) };
}

/** Lists as texts, long ones by their hash. */
function plain(value: unknown): string | number | boolean | null {
  if (value instanceof Int32Array && value.length > 32) {
    return createHash('sha256').update(value.join()).digest('hex').slice(0, 16);
  }
  if (value instanceof Int32Array) return value.join();
  if (typeof value === 'object' && value !== null) return JSON.stringify(value);
  return value as string | number | boolean | null;
}

/** Throws ERR_INPUT with the first thing in which the job on the disk is another. */
export function checkSameJob(file: string, found: Job, job: Job): void {
  const name = firstDifference(job, found);
  if (name === undefined) return;
  throw new SpeccascadeError(
    'ERR_INPUT',
    `${file}: ${name} was ${shown(found[name])} when the job began and is now ` +
      `${shown(job[name])}; resume with the same, or begin anew (overwrite)`,
  );
}

/** Throws ERR_INPUT with the first thing in which two shards, given by name, are of different jobs. */
export function checkShardsOfOne(first: [string, Job], other: [string, Job]): void {
  const [[firstName, expected], [otherName, found]] = [first, other];
  const name = firstDifference({ ...expected, shard: null }, { ...found, shard: null });
  if (name === undefined) return;
  throw new SpeccascadeError(
    'ERR_INPUT',
    `shards: ${otherName}: expected ${name} ${shown(expected[name])} as in ${firstName}, ` +
      `received ${shown(found[name])}`,
  );
}

function firstDifference(one: Job, other: Job): string | undefined {
  const names = [...Object.keys(one), ...Object.keys(other)];
  return names.find((name) => one[name] !== other[name]);
}

function shown(value: unknown): string {
  return value === undefined ? 'not there' : JSON.stringify(value);
}
