/** The promising methods, measured against the target in turn. */
import type { Method } from '../evaluate/method.ts';
import { costOf } from '../evaluate/points.ts';
import { bleuDifference, countSentences } from '../evaluate/quality.ts';
import { MemoryRuns } from '../evaluate/run-log.ts';
import type { Run } from '../evaluate/run.ts';
import { partOf, sweep, type SweepPlan } from '../evaluate/sweep.ts';
import type { Candidate } from '../evaluate/tune-decide.ts';
import type { Prediction } from './tune-plan.ts';

/** One more than the caller names: the target comes first. */
export async function measureCandidates(
  methods: readonly Method[],
  plan: Omit<SweepPlan, 'methods' | 'temperatures' | 'log'> & { temperature: number },
  references: readonly (readonly string[])[] | null,
): Promise<Candidate[]> {
  const log = new MemoryRuns();
  const { temperature, parts } = plan;
  await sweep({ ...plan, methods, temperatures: [temperature], log });
  const runsOf = ({ id }: Method): Run[] =>
    Array.from({ length: parts }, (_, part) => log.find(id, temperature, part)!);
  const target = runsOf(methods.find(({ kind }) => kind === 'target')!);
  const dealt =
    references &&
    Array.from({ length: parts }, (_, part) => partOf(references, part, parts)).flat();
  const countsOf = (runs: readonly Run[]) =>
    dealt &&
    countSentences(
      runs.flatMap(({ outputs }) => outputs),
      dealt,
    );
  const reference = countsOf(target);
  return methods
    .filter(({ kind }) => kind !== 'target')
    .map((method): Candidate => {
      const runs = runsOf(method);
      const counts = countsOf(runs);
      return {
        method: method.id,
        lossless: method.kind === 'draft',
        speedup: costOf(runs).speedup,
        bleuChange: counts && reference && bleuDifference(counts, reference),
      };
    });
}

/** Rules on the best chain and a longer one: what is trusted more is worth drafting more of. */
export function ruleSpecs(predicted: readonly Prediction[], temperature: number): string[] {
  const best = predicted.map(({ spec }) => /^(draft=.+) length=(\d+)$/.exec(spec)).find(Boolean);
  if (!best) return [];
  const [, draft, length] = best;
  const sampled = ['opt alpha=0.1,0.3,0.6', 'lossy alpha=0.3,0.6'];
  const rules = ['diff alpha=0.05,0.1,0.2,0.4', 'tokenV3 alpha=0.3,0.6,0.8', 'chow alpha=0.3,0.5'];
  // Greedy, opt is diff and lossy is lossless.
  const chosen = temperature > 0 ? [...rules, ...sampled] : rules;
  return [Number(length), Number(length) + 2].flatMap((one) =>
    chosen.map((rule) => `${draft} length=${one} rule=${rule}`),
  );
}
