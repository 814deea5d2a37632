/** Points as a Markdown table: one row per method, one table per temperature. */
import type { Point } from './points.ts';

const header = [
  'method',
  'acceptance',
  'tokens per target call',
  'target calls per token',
  'drafter calls per token',
  'speed-up (min to max)',
  'BLEU',
  'change (95%)',
  'chrF2',
];

export function tables(points: readonly Point[]): string {
  const temperatures = [...new Set(points.map(({ temperature }) => temperature))];
  return temperatures
    .map((temperature) => {
      const rows = points.filter((point) => point.temperature === temperature).map(cells);
      const title = temperature === 0 ? 'Greedy' : `Temperature ${temperature}`;
      return `### ${title}\n\n${markdown([header, ...rows])}`;
    })
    .join('\n');
}

function cells(point: Point): string[] {
  const { acceptanceRate, blockEfficiency, draftCallsPerToken, speedup, bleuChange } = point;
  return [
    point.method,
    acceptanceRate === null ? '–' : `${(100 * acceptanceRate).toFixed(1)}%`,
    blockEfficiency === null ? '–' : blockEfficiency.toFixed(2),
    point.targetCallsPerToken.toFixed(3),
    draftCallsPerToken.length === 0
      ? '–'
      : draftCallsPerToken.map((one) => one.toFixed(2)).join(' + '),
    `${speedup.median.toFixed(2)}x (${speedup.min.toFixed(2)} to ${speedup.max.toFixed(2)})`,
    point.bleu.toFixed(2),
    bleuChange === null
      ? '–'
      : `${signed(bleuChange.mean)} (${signed(bleuChange.low)} to ${signed(bleuChange.high)})`,
    point.chrf.toFixed(2),
  ];
}

function signed(value: number): string {
  const digits = Math.abs(value).toFixed(2);
  if (Number(digits) === 0) return '0';
  return value < 0 ? `−${digits}` : `+${digits}`;
}

/** The first column from the left, the others from the right, padded to one width. */
function markdown(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |\n`;
  const rule = widths.map((width, i) =>
    i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [rows[0]!, rule, ...rows.slice(1)].map(line).join('');
}
