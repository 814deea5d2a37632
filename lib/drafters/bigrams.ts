/**
 * Bigram tables for Max-Gram: the most frequent successor of each token. A file of one is the
 * successors as little-endian int32, -1 for none, one per token of the vocabulary.
 */
import { SpeccascadeError } from '../errors.ts';

/** Counts which token follows which in token sequences; ties go to the lower id. */
export function countBigrams(sequences: Iterable<Iterable<number>>, vocabSize: number): Int32Array {
  const counts = new Map<number, number>();
  for (const sequence of sequences) {
    let last = -1;
    for (const token of sequence) {
      if (last >= 0) {
        const pair = last * vocabSize + token;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
      last = token;
    }
  }
  const next = new Int32Array(vocabSize).fill(-1);
  const best = new Int32Array(vocabSize);
  for (const [pair, count] of counts) {
    const token = Math.floor(pair / vocabSize);
    const successor = pair % vocabSize;
    const better = count > best[token]! || (count === best[token] && successor < next[token]!);
    if (!better) continue;
    best[token] = count;
    next[token] = successor;
  }
  return next;
}

export function writeBigrams(next: Int32Array): Buffer {
  const file = Buffer.alloc(4 * next.length);
  next.forEach((token, i) => file.writeInt32LE(token, 4 * i));
  return file;
}

/** Errors: ERR_INPUT. */
export function readBigrams(file: Buffer): Int32Array {
  if (file.length === 0 || file.length % 4 !== 0) {
    throw new SpeccascadeError(
      'ERR_INPUT',
      `bigrams: expected a file of int32 successors, received ${file.length} bytes`,
    );
  }
  return Int32Array.from({ length: file.length / 4 }, (_, i) => file.readInt32LE(4 * i));
}
