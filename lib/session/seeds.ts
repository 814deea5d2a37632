/** Seeds of requests: one of the call, and from it one per output. */
import { randomBytes } from 'node:crypto';
import { native } from '../native.ts';

/** Tells this use of the generator from the engine's draws (native/base/philox.h). */
const purposeSeed = 3;

export function randomSeed(): bigint {
  return randomBytes(8).readBigUInt64LE();
}

/**
 * Seed of output `index` (below 2^53). Output 0 keeps the call's seed, so a result's seed passed
 * alone reproduces it; each other output gets its own Philox block.
 */
export function deriveSeed(seed: bigint, index: number): bigint {
  if (index === 0) return seed;
  return blockOf(seed, Uint32Array.of(index, Math.floor(index / 2 ** 32), 0, purposeSeed));
}

/**
 * Seed of the small model's own draws for an output of a sequence cascade: with the output's seed
 * itself both models would sample from the same uniforms. No index of deriveSeed() has this block.
 */
export function smallModelSeed(seed: bigint): bigint {
  return blockOf(seed, Uint32Array.of(0, 0, 1, purposeSeed));
}

function blockOf(seed: bigint, counter: Uint32Array): bigint {
  const [low = 0, high = 0] = native.philox(seed, counter);
  return BigInt(low) | (BigInt(high) << 32n);
}
