/** From the runs of a sweep to one point per method and temperature. */
import type { Method } from './method.ts';
import {
  bleuDifference,
  countSentences,
  qualityOf,
  type Interval,
  type SentenceCounts,
} from './quality.ts';
import type { Runs } from './run-log.ts';
import { addCounters, type Run } from './run.ts';
import { spread, type Spread } from './spread.ts';
import { partOf } from './sweep.ts';

/** What a method costs, of all its runs together. */
interface Cost {
  tokens: number;
  /** accepted / tested; null where nothing is tested. */
  acceptanceRate: number | null;
  /** Tokens per call of the target; null where it is never called. */
  blockEfficiency: number | null;
  deferralRate: number | null;
  targetCallsPerToken: number;
  /** Of each drafter, Max-Gram last. */
  draftCallsPerToken: number[];
  msPerToken: Spread;
  /** Milliseconds per token of the target alone, measured nearby, over this method's. */
  speedup: Spread;
}

export interface Point extends Cost, Pick<Method, 'curve' | 'parameter' | 'kind'> {
  method: string;
  temperature: number;
  texts: number;
  bleu: number;
  /** chrF2. */
  chrf: number;
  /** BLEU less that of the target alone at this temperature; null for the target itself. */
  bleuChange: Interval | null;
}

interface Measured {
  method: Method;
  temperature: number;
  runs: Run[];
  counts: SentenceCounts;
}

/** Of methods all of whose parts are there; `references` are in the order of the inputs. */
export function pointsOf(
  methods: readonly Method[],
  options: {
    temperatures: readonly number[];
    references: readonly (readonly string[])[];
    parts: number;
    log: Runs;
  },
): Point[] {
  const { temperatures, references, parts, log } = options;
  const dealt = Array.from({ length: parts }, (_, part) => partOf(references, part, parts)).flat();
  return temperatures.flatMap((temperature) => {
    const measured = methods.map((method): Measured => {
      const runs = Array.from({ length: parts }, (_, part) =>
        log.find(method.id, temperature, part)!,
      );
      const counts = countSentences(
        runs.flatMap(({ outputs }) => outputs),
        dealt,
      );
      return { method, temperature, runs, counts };
    });
    const target = measured.find(({ method }) => method.kind === 'target')!;
    return measured.map((one) => pointOf(one, target));
  });
}

function pointOf({ method, temperature, runs, counts }: Measured, target: Measured): Point {
  const isTarget = method.kind === 'target';
  return {
    method: method.id,
    ...{ curve: method.curve, parameter: method.parameter, kind: method.kind, temperature },
    texts: runs.reduce((sum, { outputs }) => sum + outputs.length, 0),
    ...qualityOf(counts),
    bleuChange: isTarget ? null : bleuDifference(counts, target.counts),
    ...costOf(runs),
  };
}

export function costOf(runs: readonly Run[]): Cost {
  const { tokens, targetCalls, draftCalls, tested, accepted, ...rest } = addCounters(runs);
  const { decided, deferred } = rest;
  return {
    tokens,
    acceptanceRate: tested > 0 ? accepted / tested : null,
    blockEfficiency: targetCalls > 0 ? tokens / targetCalls : null,
    deferralRate: deferred === null || decided === 0 ? null : deferred / decided,
    targetCallsPerToken: targetCalls / tokens,
    draftCallsPerToken: draftCalls.map((calls) => calls / tokens),
    msPerToken: spread(runs.map((run) => run.ms / run.tokens)),
    speedup: spread(runs.map((run) => (run.targetMsPerToken * run.tokens) / run.ms)),
  };
}
