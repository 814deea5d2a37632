/** Seeds of requests: one of the call, and from it one per output. */
import { randomBytes } from 'node:crypto';
import { native } from '../native.ts';

/** Tells this use of the generator from the engine's draws (native/base/philox.h). */
const purposeSeed = 3;

export function randomSeed(): bigint {
  return randomBytes(8).readBigUInt64LE();
}

/**
 * The seed of output `index` of a call, below 2^53: the call's own for the first, so that a
 * result's seed given alone gives the result again; for the others a block of the generator, so
 * that neighbouring seeds share nothing.
 */
export function deriveSeed(seed: bigint, index: number): bigint {
  if (index === 0) return seed;
  const counter = Uint32Array.of(index, Math.floor(index / 2 ** 32), 0, purposeSeed);
  const [low = 0, high = 0] = native.philox(seed, counter);
  return BigInt(low) | (BigInt(high) << 32n);
}
