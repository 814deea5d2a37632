/** Tables on a terminal. */

/** Columns padded to one width: the column `left` from the left, the others from the right. */
export function aligned(table: readonly (readonly string[])[], left: number): string[] {
  const widths = table[0]!.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  return table.map((row) =>
    row
      .map((cell, i) => (i === left ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  '),
  );
}
