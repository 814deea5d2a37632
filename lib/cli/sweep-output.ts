/** The files a finished sweep leaves behind: points as JSON, CSV and a table, and plots. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ioError, SpeccascadeError } from '../errors.ts';
import { csv } from '../evaluate/csv.ts';
import { pngOf } from '../evaluate/plot-png.ts';
import { plotSvg, type Plot } from '../evaluate/plot-svg.ts';
import type { Point } from '../evaluate/points.ts';
import type { RunHeader } from '../evaluate/run-log.ts';
import { tables } from '../evaluate/table.ts';

export interface SweepReport {
  header: RunHeader;
  points: Point[];
}

const costs: Record<'calls' | 'latency', Plot['cost']> = {
  calls: { label: 'target calls per token', of: ({ targetCallsPerToken }) => targetCallsPerToken },
  latency: { label: 'milliseconds per token', of: ({ msPerToken }) => msPerToken.median },
};

/** Infinite parameters as text, which JSON has no number for. */
export function reportJson(report: SweepReport): string {
  const value = (_key: string, one: unknown): unknown =>
    typeof one === 'number' && !Number.isFinite(one) ? String(one) : one;
  return `${JSON.stringify(report, value, 1)}\n`;
}

/** Which machine, models and texts: one line under a plot's title and over a table. */
export function conditions({ header }: SweepReport): string {
  const { target, dtype, device, threads, texts, parts, batch, cpu } = header;
  return (
    `target ${target}, ${dtype} on ${device}, ${threads} threads, batch ${batch}; ` +
    `${texts} texts in ${parts} parts; ${cpu}`
  );
}

/** Returns the files written; `note` hears of what could not be. Throws SpeccascadeError. */
export async function writeReport(
  folder: string,
  report: SweepReport,
  note: (line: string) => void,
): Promise<string[]> {
  const files: [string, string | Buffer][] = [
    ['sweep.json', reportJson(report)],
    ['sweep.csv', csv(report.points)],
    ['table.md', `${conditions(report)}\n\n${tables(report.points)}`],
  ];
  for (const [name, cost] of Object.entries(costs)) {
    const title = `Quality against ${cost.label}`;
    const svg = plotSvg(report.points, { title, subtitle: conditions(report), cost });
    files.push([`${name}.svg`, svg]);
    const png = await pngIfPossible(svg, note);
    if (png !== null) files.push([`${name}.png`, png]);
  }
  for (const [name, content] of files) {
    const file = path.join(folder, name);
    await writeFile(file, content).catch((cause) => {
      throw ioError(file, cause);
    });
  }
  return files.map(([name]) => path.join(folder, name));
}

/** A platform without renderer still gets everything else. */
async function pngIfPossible(svg: string, note: (line: string) => void): Promise<Buffer | null> {
  try {
    return await pngOf(svg);
  } catch (error) {
    if (!(error instanceof SpeccascadeError)) throw error;
    note(`sweep: ${error.message}`);
    return null;
  }
}
