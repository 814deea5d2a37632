/** Timing of decoding methods against each other, interleaved so that a slow spell hits them all. */
import { adaptive, chain } from '../drafters.ts';
import { spread, type Spread } from '../evaluate/spread.ts';
import type { T5Model } from '../model.ts';
import { createSession, type DecodeSession } from '../session.ts';
import type { Result } from '../session/result.ts';
import { methodName, type Row } from './bench-row.ts';

interface Plan {
  target: T5Model;
  draft: T5Model | null;
  inputs: Int32Array[];
  /** Draft lengths to try besides decoding without a drafter. */
  lengths: number[];
  /** Sequences decoded together. */
  batches: number[];
  repeats: number;
  maxNewTokens: number;
  signal: AbortSignal;
  /** What is about to run. */
  onRun: (what: string) => void;
}

interface Measurement {
  rows: Row[];
  /** Tokens of one run over all texts. */
  tokens: number;
}

interface Variant {
  method: Row['method'];
  length: number;
  batch: number;
  session: DecodeSession;
  ms: number[];
  results: Result[];
}

/** Every variant once to warm up, then all in turn, `repeats` times. */
export async function measure(plan: Plan): Promise<Measurement> {
  const variants: Variant[] = [];
  try {
    for (const batch of plan.batches) {
      variants.push(await openVariant(plan, batch, 'autoregressive', 0));
      if (plan.draft === null) continue;
      for (const length of plan.lengths) {
        variants.push(await openVariant(plan, batch, 'chain', length));
      }
      variants.push(await openVariant(plan, batch, 'adaptive', Math.max(...plan.lengths)));
    }
    for (let repeat = 0; repeat <= plan.repeats; repeat++) {
      for (const variant of variants) {
        const when = repeat === 0 ? 'warm-up' : `repeat ${repeat} of ${plan.repeats}`;
        plan.onRun(`${when}: ${methodName(variant)}, batch ${variant.batch}`);
        const ms = await runOnce(plan, variant);
        if (repeat > 0) variant.ms.push(ms);
      }
    }
  } finally {
    for (const { session } of variants) await session.close();
  }
  const reference = variants[0]!.results;
  const rows = variants.map((variant) => rowOf(variant, variants, reference));
  return { rows, tokens: sum(reference, ({ tokens }) => tokens.length) };
}

async function openVariant(
  plan: Plan,
  batch: number,
  method: Row['method'],
  length: number,
): Promise<Variant> {
  const { target, draft, maxNewTokens } = plan;
  const maxInputTokens = Math.max(...plan.inputs.map((input) => input.length));
  const sizes = { maxNewTokens, maxInputTokens, maxBatch: batch };
  const drafted = method !== 'autoregressive' && draft !== null;
  const fixed = drafted ? chain(draft, { length }) : undefined;
  const drafter = fixed && method === 'adaptive' ? adaptive(fixed) : fixed;
  const session = await createSession({ target, ...(drafter && { draft: drafter }), ...sizes });
  return { method, length, batch, session, ms: [], results: [] };
}

/** Of an adaptive variant: the fastest fixed length of its batch over it, repeat by repeat. */
function againstFixed(variant: Variant, all: readonly Variant[]): Spread | null {
  if (variant.method !== 'adaptive') return null;
  const fixed = all.filter(({ batch, method }) => batch === variant.batch && method !== 'adaptive');
  const medians = fixed.map(({ ms }) => spread(ms).median);
  const best = fixed[medians.indexOf(Math.min(...medians))]!;
  return spread(variant.ms.map((one, repeat) => best.ms[repeat]! / one));
}

async function runOnce(plan: Plan, variant: Variant): Promise<number> {
  const begin = performance.now();
  variant.results = await variant.session.generate(plan.inputs, { signal: plan.signal });
  return performance.now() - begin;
}

function rowOf(variant: Variant, all: readonly Variant[], reference: readonly Result[]): Row {
  const { method, length, batch, results, ms } = variant;
  const own = all.find((other) => other.batch === batch && other.length === 0)!;
  const tokens = sum(results, (result) => result.tokens.length);
  const total = (pick: (stats: Result['stats']) => number): number =>
    sum(results, ({ stats }) => pick(stats));
  const targetCalls = total((stats) => stats.targetCalls);
  const tested = total((stats) => stats.tested);
  return {
    method,
    length,
    batch,
    tokensPerSecond: spread(ms.map((one) => (1000 * tokens) / one)),
    speedup: spread(ms.map((one, repeat) => own.ms[repeat]! / one)),
    againstFixed: againstFixed(variant, all),
    acceptanceRate: tested > 0 ? total((stats) => stats.accepted) / tested : null,
    blockEfficiency: tokens / targetCalls,
    targetCallsPerToken: targetCalls / tokens,
    draftCallsPerToken: total((stats) => sum(stats.draftCalls, (calls) => calls)) / tokens,
    different: results.filter((result, i) => !sameTokens(result, reference[i]!)).length,
  };
}

function sameTokens(a: Result, b: Result): boolean {
  return a.tokens.length === b.tokens.length && a.tokens.every((id, i) => id === b.tokens[i]);
}

function sum<T>(items: readonly T[], pick: (item: T) => number): number {
  return items.reduce((total, item) => total + pick(item), 0);
}
