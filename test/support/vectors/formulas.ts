/** Cases of plain functions: maxgram, expect, philox. */
import { native } from '../../../lib/native.ts';
import { laws } from '../laws.ts';
import type { Check } from './check.ts';
import type { VectorCase } from './format.ts';

export function checkMaxGram({ in: given, out }: VectorCase, check: Check): void {
  const ints = (key: string): Int32Array => Int32Array.from((given[key] ?? []) as number[]);
  const { match, start, tokens } = laws().maxGram({
    input: ints('input'),
    output: ints('output'),
    ends: Int32Array.of(given.end as number),
    bigrams: ints('bigrams'),
    length: given.length as number,
  });
  check.same('match', match, out.match);
  check.same('start', start, out.start);
  check.same('tokens', tokens, out.tokens);
}

export function checkExpectation({ in: given, out }: VectorCase, check: Check): void {
  const args = (given.args as (number | number[])[]).flat();
  const value = native.lowlevel.expectation({
    name: given.name as string,
    args: Float64Array.from(args),
  });
  check.near('value', value, out.value as number);
}

export function checkPhilox({ in: given, out }: VectorCase, check: Check): void {
  const [low = 0, high = 0] = given.key as number[];
  const seed = BigInt(low) | (BigInt(high) << 32n);
  const words = native.philox(seed, Uint32Array.from(given.counter as number[]));
  check.same('words', words, out.words);
}
