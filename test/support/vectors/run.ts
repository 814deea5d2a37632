/** Runs a file of vectors through the native code, in both arithmetics, and counts. */
import { checkKseq, checkMulti } from './candidates.ts';
import { checkCascade, checkNested } from './cascades.ts';
import { Check } from './check.ts';
import { precisions, Unsupported, type Precision, type VectorCase } from './format.ts';
import { checkExpectation, checkMaxGram, checkPhilox } from './formulas.ts';
import { checkBigTarget, checkRows, checkSoftmax, checkTarget } from './positions.ts';
import { checkBlock, checkChain, checkTree } from './steps.ts';

interface Kind {
  check: (one: VectorCase, check: Check) => void;
  /** Kinds of integers, or of formulas that the engine has in double alone. */
  doubleOnly?: boolean;
}

const kinds: Record<string, Kind> = {
  softmax: { check: checkSoftmax },
  rows: { check: checkRows },
  target: { check: checkTarget },
  'target-big': { check: checkBigTarget },
  multi: { check: checkMulti },
  kseq: { check: checkKseq },
  chain: { check: checkChain },
  block: { check: checkBlock },
  tree: { check: checkTree },
  nested: { check: checkNested },
  csd: { check: checkCascade },
  maxgram: { check: checkMaxGram, doubleOnly: true },
  expect: { check: checkExpectation, doubleOnly: true },
  philox: { check: checkPhilox, doubleOnly: true },
};

/** Outcome of the cases of one kind in one arithmetic. */
export interface KindReport {
  kind: string;
  precision: Precision;
  total: number;
  passed: number;
  /** Largest absolute errors; see Check. */
  worst: number;
  worstResidual: number;
  failures: string[];
  /** Cases that were not run, by reason. */
  skips: Map<string, number>;
}

export function runVectors(cases: readonly VectorCase[]): KindReport[] {
  const reports: KindReport[] = [];
  for (const kind of new Set(cases.map((one) => one.kind))) {
    const own = cases.filter((one) => one.kind === kind);
    for (const precision of precisions) {
      if (precision === 'float' && (kinds[kind]?.doubleOnly ?? !(kind in kinds))) continue;
      reports.push(runKind(kind, own, precision));
    }
  }
  return reports;
}

function runKind(kind: string, cases: readonly VectorCase[], precision: Precision): KindReport {
  const report: KindReport = {
    ...{ kind, precision, total: cases.length, passed: 0, worst: 0, worstResidual: 0 },
    ...{ failures: [], skips: new Map<string, number>() },
  };
  for (const one of cases) runCase(one, report);
  return report;
}

function runCase(one: VectorCase, report: KindReport): void {
  const skip = (reason: string): void =>
    void report.skips.set(reason, (report.skips.get(reason) ?? 0) + 1);
  const check = new Check(report.precision);
  try {
    const kind = kinds[one.kind];
    if (kind === undefined) throw new Error(`unknown kind ${one.kind}`);
    kind.check(one, check);
  } catch (error) {
    if (error instanceof Unsupported && check.failures.length === 0) return skip(error.message);
    check.failures.push(String(error));
  }
  report.worst = Math.max(report.worst, check.worst);
  report.worstResidual = Math.max(report.worstResidual, check.worstResidual);
  if (check.failures.length === 0) report.passed += 1;
  const place = `${one.id} (${report.precision})`;
  report.failures.push(...check.failures.map((failure) => `${place}: ${failure}`));
}
