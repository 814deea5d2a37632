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
  /** Whether a GPU can run them; else why not. */
  onDevice?: true | string;
}

const drawsOnCpu = "a GPU's draws are its own (Philox): it takes no uniforms from outside";
const lawOnCpu = 'laws are enumerated on the CPU';

const kinds: Record<string, Kind> = {
  softmax: { check: checkSoftmax, onDevice: true },
  rows: { check: checkRows, onDevice: true },
  target: { check: checkTarget, onDevice: true },
  'target-big': { check: checkBigTarget, onDevice: true },
  multi: { check: checkMulti, onDevice: lawOnCpu },
  kseq: { check: checkKseq, onDevice: lawOnCpu },
  chain: { check: checkChain, onDevice: drawsOnCpu },
  block: { check: checkBlock, onDevice: drawsOnCpu },
  tree: { check: checkTree, onDevice: drawsOnCpu },
  nested: { check: checkNested, onDevice: lawOnCpu },
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

/** On the CPU, or on cuda:`device`: in its arithmetic, and kinds that it does not run are skipped. */
export function runVectors(
  cases: readonly VectorCase[],
  device: number | null = null,
): KindReport[] {
  const reports: KindReport[] = [];
  for (const kind of new Set(cases.map((one) => one.kind))) {
    const own = cases.filter((one) => one.kind === kind);
    for (const precision of device === null ? precisions : (['float'] as const)) {
      const doubleOnly = kinds[kind]?.doubleOnly ?? !(kind in kinds);
      if (device === null && precision === 'float' && doubleOnly) continue;
      reports.push(runKind(kind, own, precision, device));
    }
  }
  return reports;
}

function runKind(
  kind: string,
  cases: readonly VectorCase[],
  precision: Precision,
  device: number | null,
): KindReport {
  const report: KindReport = {
    ...{ kind, precision, total: cases.length, passed: 0, worst: 0, worstResidual: 0 },
    ...{ failures: [], skips: new Map<string, number>() },
  };
  for (const one of cases) runCase(one, report, device);
  return report;
}

function runCase(one: VectorCase, report: KindReport, device: number | null): void {
  const skip = (reason: string): void =>
    void report.skips.set(reason, (report.skips.get(reason) ?? 0) + 1);
  const check = new Check(report.precision, device);
  try {
    const kind = kinds[one.kind];
    if (kind === undefined) throw new Error(`unknown kind ${one.kind}`);
    const { onDevice = 'runs on the CPU alone' } = kind;
    if (device !== null && onDevice !== true) throw new Unsupported(onDevice);
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
