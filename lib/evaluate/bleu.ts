/**
 * BLEU (Papineni et al. 2002) with sacrebleu's defaults, and equal to its figures: tokenizer 13a,
 * mixed case, orders 1 to 4, exponential smoothing, the closest reference's length.
 */
import { tokenize13a } from './tokenize-13a.ts';
import { countNgrams, matches, total, union } from './ngrams.ts';

const maxOrder = 4;

export interface Bleu {
  /** 0 to 100. */
  score: number;
  /** Of 1-grams to 4-grams, 0 to 100, smoothed. */
  precisions: number[];
  brevityPenalty: number;
  /** In tokens. */
  hypothesisLength: number;
  referenceLength: number;
}

/**
 * What a sentence contributes to the corpus's figure: lengths of hypothesis and reference, then per
 * order its matches and its n-grams. Those of sentences add up.
 */
type BleuCounts = Float64Array;

export const bleuCountsLength = 2 + 2 * maxOrder;

/** Counts of one sentence against its references, of which there must be at least one. */
export function bleuCounts(hypothesis: string, references: readonly string[]): BleuCounts {
  const words = tokenize13a(hypothesis);
  const referenceWords = references.map(tokenize13a);
  const counts = new Float64Array(bleuCountsLength);
  counts[0] = words.length;
  counts[1] = closestLength(
    words.length,
    referenceWords.map(({ length }) => length),
  );
  for (let order = 1; order <= maxOrder; order++) {
    const own = countNgrams(words, order);
    const theirs = union(referenceWords.map((one) => countNgrams(one, order)));
    counts[2 * order] = matches(own, theirs);
    counts[2 * order + 1] = total(own);
  }
  return counts;
}

/** Of a corpus: of its sentences' counts, summed. */
export function bleuOf(counts: ArrayLike<number>): Bleu {
  const hypothesisLength = counts[0]!;
  const referenceLength = counts[1]!;
  const brevityPenalty = penalty(hypothesisLength, referenceLength);
  const precisions = smoothedPrecisions(counts);
  const mean = precisions.reduce((sum, one) => sum + Math.log(one), 0) / maxOrder;
  const score = brevityPenalty * Math.exp(mean);
  return { score, precisions, brevityPenalty, hypothesisLength, referenceLength };
}

/** An order without a match counts as half a match, the next such order as a quarter, ... */
function smoothedPrecisions(counts: ArrayLike<number>): number[] {
  const precisions = new Array<number>(maxOrder).fill(0);
  // Without any match smoothing would make up a score.
  const anyMatch = precisions.some((_, i) => counts[2 * i + 2]! > 0);
  let smoothing = 1;
  for (let i = 0; i < maxOrder && anyMatch; i++) {
    const matched = counts[2 * i + 2]!;
    const all = counts[2 * i + 3]!;
    if (all === 0) break;
    if (matched === 0) smoothing *= 2;
    precisions[i] = matched === 0 ? 100 / (smoothing * all) : (100 * matched) / all;
  }
  return precisions;
}

function penalty(hypothesisLength: number, referenceLength: number): number {
  if (hypothesisLength >= referenceLength) return 1;
  return hypothesisLength > 0 ? Math.exp(1 - referenceLength / hypothesisLength) : 0;
}

/** The reference length nearest to the hypothesis's; the shorter of two as near. */
function closestLength(length: number, references: readonly number[]): number {
  const distance = (one: number): number => Math.abs(one - length);
  return references.reduce((best, one) => {
    if (distance(one) === distance(best)) return Math.min(one, best);
    return distance(one) < distance(best) ? one : best;
  });
}
