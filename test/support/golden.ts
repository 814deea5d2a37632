/** What golden.json of a checkpoint holds, beside what a model computes. */
import path from 'node:path';
import { packedFolder } from './golden-files.ts';
import { readJson } from './models.ts';

interface Row {
  position: number;
  values: number[];
}

export interface GoldenCase {
  inputIds: number[][];
  encoderLast: Row[];
  decoderInputIds: number[][];
  logits: Row[];
  logitsShape: [number, number];
  greedy: number[][];
}

interface Tensor {
  data: Float32Array;
  shape: [number, number, number];
}

export function goldenCases(name: string): GoldenCase[] {
  const file = path.join(packedFolder(name), 'golden.json.gz');
  return (readJson(file) as { cases: GoldenCase[] }).cases;
}

/** Each row of the reference with the same row of a tensor [batch, positions, width]. */
export function rowPairs(
  rows: readonly Row[],
  { data, shape }: Tensor,
): { expected: number[]; actual: Float32Array }[] {
  const [batch, positions, width] = shape;
  return rows.map(({ position, values }, i) => {
    if (values.length !== width) throw new Error(`rows of ${values.length} and of ${width}`);
    const start = (Math.floor((i * batch) / rows.length) * positions + position) * width;
    return { expected: values, actual: data.subarray(start, start + width) };
  });
}

/** Largest absolute error. */
export function worstError(expected: number[], actual: Float32Array): number {
  return expected.reduce((worst, v, i) => Math.max(worst, Math.abs(v - actual[i]!)), 0);
}

/** Length of the difference over that of the reference row. */
export function relativeError(expected: number[], actual: Float32Array): number {
  const squared = (values: number[]) => values.reduce((sum, v) => sum + v * v, 0);
  return Math.sqrt(squared(expected.map((v, i) => v - actual[i]!)) / squared(expected));
}
