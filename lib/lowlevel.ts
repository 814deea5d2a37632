/** Single operations, for tests and benchmarks (`speccascade/lowlevel`). */
import { native, type DeviceInfo } from './native.ts';
import { checkInteger, inputError } from './validate.ts';

export { bench, type BenchOptions, type BenchResult } from './lowlevel/bench.ts';
export { targetDistribution, type TargetOptions } from './lowlevel/target.ts';
export { verify, type VerifyOptions, type VerifyResult } from './lowlevel/verify.ts';
export type { DeviceInfo };

/** What this process can compute on: the CPU first; its note says why there is no CUDA device. */
export function devices(): DeviceInfo[] {
  return native.devices();
}

/**
 * One block of Philox4x32-10 (Salmon et al. 2011). `seed`: 64 bits, the key; `counter`: four
 * unsigned 32-bit words. `uniforms` are (word >> 8) x 2^-24, in [0, 1). Errors: ERR_INPUT.
 */
export function philox(
  seed: bigint,
  counter: readonly [number, number, number, number],
): { words: Uint32Array; uniforms: Float32Array } {
  if (typeof seed !== 'bigint' || seed < 0n || seed >= 2n ** 64n) {
    throw inputError('seed', 'a bigint from 0 to 2^64 - 1', seed);
  }
  const given: unknown = counter;
  if (!Array.isArray(given) || given.length !== 4) {
    throw inputError('counter', 'four unsigned 32-bit integers', given);
  }
  const address = Uint32Array.from(given, (word: unknown, i) =>
    checkInteger(`counter[${i}]`, word, 0, 2 ** 32 - 1),
  );
  const words = native.philox(seed, address);
  return { words, uniforms: Float32Array.from(words, (word) => (word >>> 8) * 2 ** -24) };
}
