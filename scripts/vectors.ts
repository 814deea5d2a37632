/**
 * Runs a file of vectors (format: test/vectors/README.md) through the native code:
 *
 *   npm run vectors -- FILE [--device cpu|cuda]
 *
 * On the CPU it takes the exact laws: node scripts/build-native.mjs --laws. A GPU makes distributions
 * and pi; other kinds are skipped there, as are all without one.
 * Per kind and arithmetic: cases passed, the worst absolute error, and what was skipped and why.
 * Exits with 1 if a case failed, with 2 if the file cannot be read or the laws are not built.
 */
import { parseArgs } from 'node:util';
import { devices } from '../lib/lowlevel.ts';
import { laws } from '../test/support/laws.ts';
import { readVectors, type VectorCase } from '../test/support/vectors/format.ts';
import { runVectors, type KindReport } from '../test/support/vectors/run.ts';

const { values, positionals } = parseArgs({
  options: { device: { type: 'string', default: 'cpu' } },
  allowPositionals: true,
});

function readCases(): VectorCase[] {
  const [file] = positionals;
  if (file === undefined || positionals.length > 1 || !/^(cpu|cuda)$/.test(values.device)) {
    console.error('usage: npm run vectors -- FILE [--device cpu|cuda]');
    process.exit(2);
  }
  try {
    return readVectors(file);
  } catch (error) {
    console.error(`${file}: ${(error as Error).message}`);
    process.exit(2);
  }
}

/** Here, or each of their cases would say that they are not built. */
function needLaws(): void {
  try {
    laws();
  } catch (error) {
    console.error(`vectors: ${(error as Error).message}`);
    process.exit(2);
  }
}

function lineOf(report: KindReport): string {
  const skips = [...report.skips].map(([reason, count]) => `${count} skipped: ${reason}`);
  const ran = report.total > [...report.skips.values()].reduce((a, b) => a + b, 0);
  const cells = [
    report.kind.padEnd(12),
    report.precision.padEnd(8),
    `${report.passed}/${report.total}`.padStart(9),
    (ran ? report.worst.toExponential(1) : '-').padStart(12),
  ];
  const residual =
    report.worstResidual > 0
      ? [`residuals of little mass: ${report.worstResidual.toExponential(1)}`]
      : [];
  return [cells.join(' '), ...residual, ...skips].join('  ');
}

function skipAll(cases: readonly VectorCase[], reason: string): void {
  const counts = new Map<string, number>();
  for (const { kind } of cases) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  for (const [kind, count] of counts) console.log(`${kind.padEnd(12)} ${count} skipped: ${reason}`);
}

const cases = readCases();
const found = devices();
const device = values.device === 'cuda' ? 0 : null;
if (device !== null && !found.some(({ kind }) => kind === 'cuda')) {
  skipAll(cases, found[0]?.note ?? 'no CUDA device');
} else {
  if (device === null) needLaws();
  console.log(`${'kind'.padEnd(12)} ${'path'.padEnd(8)} ${'passed'.padStart(9)}  worst error`);
  const reports = runVectors(cases, device);
  for (const report of reports) console.log(lineOf(report));
  const failures = reports.flatMap((report) => report.failures);
  for (const failure of failures) console.log(`FAIL ${failure}`);
  console.log(failures.length === 0 ? '\nvectors: all passed' : '\nvectors: FAILED');
  process.exitCode = failures.length === 0 ? 0 : 1;
}
