/** Counting n-grams, which BLEU and chrF both compare. */
import { pythonWhiteSpaceClass } from '../tokenizer/characters.ts';

/** How often each n-gram occurs; its items are joined by a separator that no item contains. */
export type NgramCounts = ReadonlyMap<string, number>;

/** By which the reference implementation splits. */
const whiteSpace = new RegExp(`[${pythonWhiteSpaceClass}]+`, 'u');

/** The parts between white space; none of an empty text. */
export function splitWords(text: string): string[] {
  return text.split(whiteSpace).filter((word) => word !== '');
}

export function countNgrams(items: readonly string[], order: number): NgramCounts {
  const counts = new Map<string, number>();
  for (let end = order; end <= items.length; end++) {
    const ngram = items.slice(end - order, end).join(' ');
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  return counts;
}

/** The multiset intersection's size. */
export function matches(a: NgramCounts, b: NgramCounts): number {
  let common = 0;
  for (const [ngram, count] of a) common += Math.min(count, b.get(ngram) ?? 0);
  return common;
}

/** For each n-gram the largest of its counts. */
export function union(all: readonly NgramCounts[]): NgramCounts {
  const [first, ...rest] = all;
  if (rest.length === 0) return first ?? new Map();
  const counts = new Map(first);
  for (const other of rest) {
    for (const [ngram, count] of other) {
      counts.set(ngram, Math.max(count, counts.get(ngram) ?? 0));
    }
  }
  return counts;
}

export function total(counts: NgramCounts): number {
  let sum = 0;
  for (const count of counts.values()) sum += count;
  return sum;
}

/** Element by element. */
export function addVectors(into: Float64Array, other: ArrayLike<number>): void {
  for (let i = 0; i < into.length; i++) into[i]! += other[i]!;
}
