/** What `speccascade bench` has found, as a table. */
import type { Spread } from '../evaluate/spread.ts';
import { aligned } from './aligned.ts';
import { methodName, type Row } from './bench-row.ts';

export interface BenchReport {
  machine: { cpu: string; cores: number; threads: number; platform: string; node: string };
  models: { target: string; draft: string | null; device: string; dtype: string };
  texts: number;
  /** Of one run over all texts. */
  tokens: number;
  prefix: string;
  repeats: number;
  excluded: string[];
  greedyOutputsEqual: boolean;
  rows: Row[];
}

const header = [
  'batch',
  'method',
  'tokens/s',
  'speed-up',
  '(min-max)',
  'acceptance',
  'block eff.',
  'target calls/token',
  'drafter calls/token',
];

export function benchTable(report: BenchReport): string {
  const { machine, models, rows } = report;
  const { cpu, cores, threads, platform, node } = machine;
  const draft = models.draft === null ? 'no drafter' : `drafter ${models.draft}`;
  return [
    `${cpu}, ${cores} cores, ${threads} threads, ${platform}, Node ${node}`,
    `target ${models.target}, ${draft}, ${models.dtype} on ${models.device}`,
    `${report.texts} texts, ${report.tokens} tokens, greedy; median of ${report.repeats} ` +
      'interleaved repeats, speed-up against autoregressive in the same repeat',
    '',
    ...aligned([header, ...rows.map(cells)], header.indexOf('method')),
    '',
    ...rows.flatMap(adaptiveLine),
    equality(report),
    `Not timed: ${report.excluded.join(', ')}.`,
    '',
  ].join('\n');
}

function cells(row: Row): string[] {
  const { acceptanceRate } = row;
  return [
    String(row.batch),
    methodName(row),
    row.tokensPerSecond.median.toFixed(0),
    `${row.speedup.median.toFixed(2)}x`,
    range(row.speedup),
    acceptanceRate === null ? '-' : `${(100 * acceptanceRate).toFixed(1)}%`,
    row.blockEfficiency.toFixed(2),
    row.targetCallsPerToken.toFixed(2),
    row.draftCallsPerToken.toFixed(2),
  ];
}

function adaptiveLine({ batch, againstFixed }: Row): string[] {
  if (againstFixed === null) return [];
  const ratio = `${againstFixed.median.toFixed(2)}x ${range(againstFixed)}`;
  return [
    `Adaptive lengths at batch ${batch}: ${ratio} the speed of the fastest fixed length, none included.`,
  ];
}

function range({ min, max }: Spread): string {
  return `(${min.toFixed(2)}-${max.toFixed(2)})`;
}

function equality({ rows, texts, greedyOutputsEqual }: BenchReport): string {
  if (greedyOutputsEqual) {
    return `Greedy outputs: all ${rows.length} rows gave the target's own tokens on all texts.`;
  }
  const differing = rows.filter(({ different }) => different > 0);
  const list = differing.map(
    (row) => `${methodName(row)} at batch ${row.batch}: ${row.different} of ${texts} texts`,
  );
  return `GREEDY OUTPUTS DIFFER from the target's own: ${list.join('; ')}`;
}
