/** The machine's own limits: how fast it reads memory, and multiplies in registers. */
import os from 'node:os';
import { bench, devices } from '../../lib/lowlevel.ts';
import { table } from './table.ts';

export type Print = (text: string) => void;
export const dtypes = ['f32', 'bf16', 'int8'] as const;
export type Dtype = (typeof dtypes)[number];

export interface Ceilings {
  threads: number;
  /** Bytes per second of memory, larger than any cache. */
  readRate: number;
  /** Multiply-adds per second, by type of weights. */
  macRate: Record<Dtype, number>;
}

/** Far larger than the caches. */
const memoryBytes = 2 ** 29;

function readRate(threads: number): number {
  const { bytes, msMedian } = bench('read', { bytes: memoryBytes, threads }, { repeats: 9 });
  return (bytes / msMedian) * 1e3;
}

function macRate(threads: number, dtype: Dtype): number {
  const { flops, msMedian } = bench('multiplyAdd', { threads }, { dtype, repeats: 15 });
  return (flops / 2 / msMedian) * 1e3;
}

function measure(threads: number): Ceilings {
  return {
    threads,
    readRate: readRate(threads),
    macRate: {
      f32: macRate(threads, 'f32'),
      bf16: macRate(threads, 'bf16'),
      int8: macRate(threads, 'int8'),
    },
  };
}

/** Measures and prints those of one thread and of `threads`; returns the latter. */
export function ceilings(threads: number, print: Print): Ceilings {
  const cpu = devices()[0]!;
  print(
    `- Processor: ${cpu.name}, ${os.availableParallelism()} cores (${cpu.features.join(', ')})`,
  );
  print(`- ${threads} threads; Node ${process.version}, ${os.type()} ${os.release()}\n`);
  print('## Ceilings\n');
  print('Reading memory far larger than the caches; multiplying and adding in registers alone.\n');
  const counts = threads === 1 ? [1] : [1, threads];
  const measured = counts.map((count) => measure(count));
  const rows = measured.map((limits) => [
    String(limits.threads),
    (limits.readRate / 1e9).toFixed(1),
    ...dtypes.map((dtype) => (limits.macRate[dtype] / 1e9).toFixed(0)),
  ]);
  print(table(['threads', 'read, GB/s', ...dtypes.map((dtype) => `${dtype}, GMAC/s`)], rows));
  return measured.at(-1)!;
}
