/** Checks on the numbers that describe a draft. */
import { checkInteger, inputError } from '../validate.ts';

/** With the last token, at most 256 candidate positions a sequence and step. */
export const maxNodes = 255;

/** Of a cascade, Max-Gram included: planning its memory takes time exponential in their number. */
export const maxDrafters = 8;

export function checkWidths(widths: unknown): number[] {
  if (!Array.isArray(widths) || widths.length === 0) {
    throw inputError('widths', 'a list of at least one width', widths);
  }
  // Array.from, here and below: map() leaves holes out.
  const checked = Array.from(widths, (width, i) =>
    checkInteger(`widths[${i}]`, width, 1, maxNodes),
  );
  let level = 1;
  let nodes = 0;
  for (const width of checked) nodes += level *= width;
  if (nodes > maxNodes) throw inputError('widths', `at most ${maxNodes} nodes in all`, nodes);
  return checked;
}

/** A square upper triangular matrix, a row per drafter. */
export function checkLengths(lengths: unknown, drafters: number): number[][] {
  const size = `${drafters} rows of ${drafters} lengths, one per drafter`;
  if (!Array.isArray(lengths) || lengths.length !== drafters) {
    throw inputError('lengths', size, lengths);
  }
  return Array.from(lengths, (row: unknown, i) => {
    const name = `lengths[${i}]`;
    if (!Array.isArray(row) || row.length !== drafters) throw inputError(name, size, row);
    const checked = Array.from(row, (length, j) => {
      const one = checkInteger(`${name}[${j}]`, length, 0, maxNodes);
      if (j < i && one !== 0) throw inputError(`${name}[${j}]`, '0 (upper triangular)', one);
      return one;
    });
    const total = checked.reduce((sum, length) => sum + length, 0);
    checkInteger(`the sum of ${name}`, total, i === 0 ? 1 : 0, maxNodes);
    return checked;
  });
}

export function checkBigrams(bigrams: unknown): Int32Array {
  if (bigrams instanceof Int32Array) return bigrams;
  throw inputError('bigrams', 'an Int32Array with one successor per token', bigrams);
}
