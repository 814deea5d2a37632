/**
 * chrF (Popovic 2015) with sacrebleu's defaults, and equal to its figures: character n-grams of
 * orders 1 to 6 without white space, beta 2, mixed case.
 */
import { countNgrams, matches, splitWords, total, type NgramCounts } from './ngrams.ts';

const characterOrder = 6;
const betaSquared = 4;

/** Per order: n-grams of the hypothesis, of the reference, and common to both. They add up. */
type ChrfCounts = Float64Array;

/** Counts of one sentence against the reference that suits it best; at least one is needed. */
export function chrfCounts(hypothesis: string, references: readonly string[]): ChrfCounts {
  const own = ngramsOf(hypothesis);
  const all = references.map((one) => compare(own, ngramsOf(one)));
  return all.reduce((best, one) => (chrfOf(one) > chrfOf(best) ? one : best));
}

/** Of a sentence's counts, or of the sum over a corpus: 0 to 100. */
export function chrfOf(counts: ArrayLike<number>): number {
  let precision = 0;
  let recall = 0;
  for (let i = 0; i < counts.length; i += 3) {
    // An order that either side is too short for adds nothing, and is not averaged over.
    if (counts[i] === 0 || counts[i + 1] === 0) continue;
    precision += counts[i + 2]! / counts[i]!;
    recall += counts[i + 2]! / counts[i + 1]!;
  }
  const orders = effectiveOrders(counts);
  if (precision + recall === 0) return 0;
  const scale = (100 * (1 + betaSquared)) / orders;
  return (scale * precision * recall) / (betaSquared * precision + recall);
}

function effectiveOrders(counts: ArrayLike<number>): number {
  let orders = 0;
  for (let i = 0; i < counts.length; i += 3) {
    if (counts[i]! > 0 && counts[i + 1]! > 0) orders += 1;
  }
  return orders;
}

function ngramsOf(text: string): NgramCounts[] {
  const characters = [...splitWords(text).join('')];
  return Array.from({ length: characterOrder }, (_, i) => countNgrams(characters, i + 1));
}

function compare(own: NgramCounts[], theirs: NgramCounts[]): ChrfCounts {
  const counts = new Float64Array(3 * own.length);
  own.forEach((ngrams, i) => {
    const reference = total(theirs[i]!);
    // Where the reference has none, those of the hypothesis cannot be right or wrong.
    counts[3 * i] = reference > 0 ? total(ngrams) : 0;
    counts[3 * i + 1] = reference;
    counts[3 * i + 2] = matches(ngrams, theirs[i]!);
  });
  return counts;
}
