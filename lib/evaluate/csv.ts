/** Points as comma-separated values (RFC 4180), a header first. */
import type { Point } from './points.ts';

const columns: Record<string, (point: Point) => string | number | null> = {
  method: ({ method }) => method,
  curve: ({ curve }) => curve,
  parameter: ({ parameter }) => parameter,
  kind: ({ kind }) => kind,
  temperature: ({ temperature }) => temperature,
  texts: ({ texts }) => texts,
  tokens: ({ tokens }) => tokens,
  bleu: ({ bleu }) => bleu,
  chrf2: ({ chrf }) => chrf,
  bleu_change: ({ bleuChange }) => bleuChange?.mean ?? null,
  bleu_change_low: ({ bleuChange }) => bleuChange?.low ?? null,
  bleu_change_high: ({ bleuChange }) => bleuChange?.high ?? null,
  acceptance_rate: ({ acceptanceRate }) => acceptanceRate,
  block_efficiency: ({ blockEfficiency }) => blockEfficiency,
  deferral_rate: ({ deferralRate }) => deferralRate,
  target_calls_per_token: ({ targetCallsPerToken }) => targetCallsPerToken,
  // A drafter's number follows the order in which the method names them.
  drafter_calls_per_token: ({ draftCallsPerToken }) => draftCallsPerToken.join(' '),
  ms_per_token: ({ msPerToken }) => msPerToken.median,
  ms_per_token_min: ({ msPerToken }) => msPerToken.min,
  ms_per_token_max: ({ msPerToken }) => msPerToken.max,
  speedup: ({ speedup }) => speedup.median,
  speedup_min: ({ speedup }) => speedup.min,
  speedup_max: ({ speedup }) => speedup.max,
};

export function csv(points: readonly Point[]): string {
  const rows = points.map((point) => Object.values(columns).map((pick) => cell(pick(point))));
  return [Object.keys(columns), ...rows].map((row) => `${row.join(',')}\r\n`).join('');
}

/** What is not defined is an empty cell. */
function cell(value: string | number | null): string {
  const shown = value === null ? '' : String(value);
  return /[",\r\n]/.test(shown) ? `"${shown.replaceAll('"', '""')}"` : shown;
}
