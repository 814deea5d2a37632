/** What tune found, for people and as JSON. */
import { leastSpeedup, type Candidate, type Decision } from '../evaluate/tune-decide.ts';
import { aligned } from './aligned.ts';
import { parseMethod } from './method-spec.ts';
import { commandOf, typescriptOf, type CodeNames } from './tune-code.ts';
import type { Evidence, Prediction } from './tune-plan.ts';

export interface TuneReport {
  conditions: string;
  goal: string;
  evidence: Evidence;
  predictions: Prediction[];
  measured: Candidate[];
  /** The best of them, measured once more. */
  confirmed: Candidate | null;
  decision: Decision;
  typescript: string;
  command: string;
}

export function tuneReport(
  found: Omit<TuneReport, 'typescript' | 'command'>,
  names: CodeNames,
): TuneReport {
  const { decision } = found;
  const spec = decision.speculate ? decision.choice.method : null;
  const values = spec === null ? null : parseMethod(spec)[0]!.values;
  return { ...found, typescript: typescriptOf(values, names), command: commandOf(spec, names) };
}

export function tuneText(report: TuneReport): string {
  const { conditions, goal, typescript, command } = report;
  return [
    conditions,
    `goal: ${goal}`,
    '',
    ...costLines(report.evidence),
    '',
    ...candidateLines(report),
    '',
    ...decisionLines(report),
    '',
    typescript.trimEnd(),
    '',
    command,
    '',
  ].join('\n');
}

function costLines({ target, drafters, copies }: Evidence): string[] {
  const ms = (value: number): string => `${value.toPrecision(3)} ms`;
  const rates = (acceptance: readonly number[]): string =>
    acceptance.map((one) => one.toFixed(2)).join(' ');
  return [
    `target alone: ${ms(target.stepMs)} per token`,
    ...drafters.flatMap(({ name, costs, acceptance, trees }) => [
      `${name}: ${ms(costs.draftMs)} per pass; the target's pass over ` +
        costs.passes.map((pass) => `${pass.positions}: ${ms(pass.ms)}`).join(', ') +
        ' positions',
      `  acceptance by depth: chain ${rates(acceptance)}` +
        trees.map((tree) => `; tree ${tree.widths.join(',')} ${rates(tree.acceptance)}`).join(''),
    ]),
    `Max-Gram: acceptance by depth ${rates(copies.acceptance)}`,
  ];
}

function candidateLines({ measured, predictions }: TuneReport): string[] {
  const rows = measured.map((candidate) => {
    const { method, speedup, bleuChange } = candidate;
    const predicted = predictions.find(({ spec }) => spec === method)?.predicted ?? null;
    return [
      method,
      predicted === null ? '-' : `${predicted.toFixed(2)}x`,
      `${speedup.median.toFixed(2)}x`,
      `(${speedup.min.toFixed(2)}-${speedup.max.toFixed(2)})`,
      bleuChange === null ? '-' : bleuText(bleuChange),
    ];
  });
  return aligned([['method', 'predicted', 'measured', '(min-max)', 'BLEU change'], ...rows], 0);
}

function bleuText({ mean, low, high }: NonNullable<Candidate['bleuChange']>): string {
  return `${mean.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

function decisionLines({ decision }: TuneReport): string[] {
  if (!decision.speculate) {
    return [`Recommended: don't speculate: ${decision.reason}.`];
  }
  const { method, speedup, lossless, bleuChange } = decision.choice;
  const gain = `${speedup.median.toFixed(2)}x as fast as the target alone when measured once more`;
  const quality =
    lossless || bleuChange === null ? 'lossless' : `BLEU ${bleuText(bleuChange)}, 95% interval`;
  const caution = decision.caution === null ? [] : [`Note: ${decision.caution}.`];
  return [
    `Recommended: ${method}: ${gain}, ${quality}.`,
    `(At least ${leastSpeedup}x is asked for before speculation is recommended.)`,
    ...caution,
  ];
}
