/** Times of single operations, on operands that are made up. */
import os from 'node:os';
import { native, type NativeTimes } from '../native.ts';
import { checkInteger, checkOneOf, checkOptions } from '../validate.ts';
import { checkDevice } from './rows.ts';

export interface BenchOptions {
  /** 'cpu' (default, and what 'auto' is), 'cuda' or 'cuda:N'. */
  device?: string | undefined;
  /** Type of the weights, of gemm and multiplyAdd: f32 (default), bf16, int8; f16 on CUDA. */
  dtype?: string | undefined;
  /** Timed runs after an untimed one; default 20. */
  repeats?: number | undefined;
}

/**
 * Milliseconds per run (median and least), bytes of the operands, floating-point operations (two
 * per multiply-add).
 */
export type BenchResult = NativeTimes;

/** Sizes that each operation needs; `threads` (default: all cores) may be added to any. */
const sizes = {
  /** Reads `bytes` bytes of memory: what no kernel that streams weights can beat. */
  read: ['bytes'],
  /** Multiplies and adds in registers, by the instruction of dtype's products. */
  multiplyAdd: [],
  gemm: ['rows', 'n', 'k'],
  /** Cross-attention of `rows` positions of one sequence. */
  attention: ['rows', 'keys', 'heads', 'headDim'],
  norm: ['rows', 'width'],
  softmax: ['rows', 'width'],
} as const satisfies Record<string, readonly string[]>;

const most = 2 ** 34;

/**
 * Times one operation on this machine, or on a GPU by its own clock, without transfers: read,
 * multiplyAdd, gemm, attention, norm or softmax, with the sizes above. Blocks until it is done.
 * Errors: ERR_INPUT (an unknown operation, a missing or surplus size, a value out of range),
 * ERR_OUT_OF_MEMORY, ERR_DEVICE.
 */
export function bench(
  op: string,
  shape: Record<string, number>,
  options: BenchOptions = {},
): BenchResult {
  const known = Object.keys(sizes) as (keyof typeof sizes)[];
  const name = checkOneOf('op', op, known);
  checkOptions('shape', shape, [...sizes[name], 'threads']);
  for (const size of sizes[name]) checkInteger(size, shape[size], 1, most);
  const threads = shape.threads ?? os.availableParallelism();
  checkInteger('threads', threads, 1, 4096);
  checkOptions('options', options, ['device', 'dtype', 'repeats']);
  const gpu = checkDevice(options.device) ?? -1;
  const dtype = checkOneOf('dtype', options.dtype ?? 'f32', ['f32', 'bf16', 'f16', 'int8']);
  const repeats = options.repeats ?? 20;
  checkInteger('repeats', repeats, 1, 2 ** 20);
  return native.lowlevel.bench({ op: name, shape: { ...shape, threads }, dtype, repeats, gpu });
}
