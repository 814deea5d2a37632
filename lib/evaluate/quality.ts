/** Quality of a method's outputs, and how sure its distance from the target's is. */
import { quantile } from '../quantile.ts';
import { bleuCounts, bleuCountsLength, bleuOf } from './bleu.ts';
import { chrfCounts, chrfOf } from './chrf.ts';
import { addVectors } from './ngrams.ts';

/** Per sentence, what adds up to the figures of a corpus. */
export interface SentenceCounts {
  bleu: Float64Array[];
  chrf: Float64Array[];
}

interface Quality {
  bleu: number;
  chrf: number;
}

/** A difference, and the interval that holds 95% of it when sentences are drawn anew. */
export interface Interval {
  mean: number;
  low: number;
  high: number;
}

const resamples = 1000;

export function countSentences(
  outputs: readonly string[],
  references: readonly (readonly string[])[],
): SentenceCounts {
  return {
    bleu: outputs.map((one, i) => bleuCounts(one, references[i]!)),
    chrf: outputs.map((one, i) => chrfCounts(one, references[i]!)),
  };
}

export function qualityOf({ bleu, chrf }: SentenceCounts): Quality {
  return { bleu: bleuOf(sumOf(bleu)).score, chrf: chrfOf(sumOf(chrf)) };
}

/**
 * BLEU of one system less that of another on the same sentences, by paired bootstrap (Koehn 2004):
 * both are scored on the same resampled sentences, so that hard sentences weigh on both alike. The
 * choice of sentences is a fixed one: the same outputs give the same interval.
 */
export function bleuDifference(own: SentenceCounts, other: SentenceCounts): Interval {
  const sentences = own.bleu.length;
  const mean = qualityOf(own).bleu - qualityOf(other).bleu;
  const random = generator(sentences);
  const differences = Array.from({ length: resamples }, () => {
    const sums = [new Float64Array(bleuCountsLength), new Float64Array(bleuCountsLength)] as const;
    for (let i = 0; i < sentences; i++) {
      const chosen = Math.floor(random() * sentences);
      addVectors(sums[0], own.bleu[chosen]!);
      addVectors(sums[1], other.bleu[chosen]!);
    }
    return bleuOf(sums[0]).score - bleuOf(sums[1]).score;
  }).sort((a, b) => a - b);
  return { mean, low: quantile(differences, 0.025), high: quantile(differences, 0.975) };
}

function sumOf(counts: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(counts[0]?.length ?? bleuCountsLength);
  for (const one of counts) addVectors(sum, one);
  return sum;
}

/** Uniform numbers in [0, 1): a 32-bit Weyl sequence through a mixing function (splitmix32). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
  };
}
