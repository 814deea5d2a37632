/** What callers may write, as the compiler sees it: `tsc --noEmit` is what can fail here. */
import { describe, expectTypeOf, it } from 'vitest';
import {
  tree,
  type csDraft,
  type DecodeOptions,
  type DecodeSession,
  type ErrorDetails,
  type GenerateOptions,
  type IdRows,
  type Input,
  type ModelType,
  type Result,
  type SessionOptions,
  type SpeccascadeError,
  type T5Config,
  type T5Model,
  type Tokenizer,
} from '../lib/index.ts';
import { bench, type BenchResult, type philox } from '../lib/lowlevel.ts';

type Outcome = Result | SpeccascadeError;

/** Never called: its types are the test. */
async function generating(session: DecodeSession, input: Input, ids: readonly number[]) {
  return {
    one: await session.generate(input),
    text: await session.generate('a'),
    ids: await session.generate(ids),
    idLiteral: await session.generate([1, 2]),
    array: await session.generate(Int32Array.of(1)),
    samples: await session.generate(input, { numSamples: 2 }),
    none: await session.generate([]),
    list: await session.generate(['a', [1], Int32Array.of(1)]),
    frozen: await session.generate(['a', ids] as readonly Input[]),
    constant: await session.generate([[1, 2]] as const),
    returned: await session.generate(['a'], { onError: 'return' }),
    submitted: await session.trySubmit(ids),
  };
}

/** A text or ids, as callers' own unions have it. */
const union = (session: DecodeSession, input: string | number[] | Int32Array): Promise<Result> =>
  session.generate(input);

const readonlyOptions = (model: T5Model, ids: readonly number[]): SessionOptions => ({
  target: model,
  draft: tree(model, { widths: ids }),
  ...{ stopTokens: ids, suppressTokens: ids, decoderPrefix: ids },
});

const benchedOn = (device: string, dtype: string): BenchResult =>
  bench('read', {}, { device, dtype });

describe('types', () => {
  it('of results follow the input', () => {
    const given = expectTypeOf(generating).returns.resolves;
    given.pick<'one' | 'text' | 'ids' | 'idLiteral' | 'array' | 'submitted'>().toEqualTypeOf<{
      one: Result;
      text: Result;
      ids: Result;
      idLiteral: Result;
      array: Result;
      submitted: Result;
    }>();
    given.pick<'samples' | 'none' | 'list' | 'frozen' | 'constant'>().toEqualTypeOf<{
      samples: Result[];
      none: Result[];
      list: Result[];
      frozen: Result[];
      constant: Result[];
    }>();
    given.toHaveProperty('returned').toEqualTypeOf<Outcome[]>();
    expectTypeOf(union).returns.resolves.toEqualTypeOf<Result>();
  });

  it('take lists that nobody may change', () => {
    expectTypeOf(readonlyOptions).returns.toExtend<SessionOptions>();
    expectTypeOf<{ stopTokens: readonly number[] }>().toExtend<GenerateOptions>();
    expectTypeOf<readonly T5Model[]>().toExtend<Parameters<typeof csDraft>[0]>();
    expectTypeOf<readonly (readonly number[])[]>().toExtend<Parameters<T5Model['encode']>[0]>();
    expectTypeOf<readonly [0, 0, 0, 0]>().toExtend<Parameters<typeof philox>[1]>();
  });

  it('that signatures use have names', () => {
    expectTypeOf<IdRows>().toEqualTypeOf<Parameters<T5Model['encode']>[0]>();
    expectTypeOf<ModelType>().toEqualTypeOf<T5Config['modelType']>();
    expectTypeOf<DecodeOptions | undefined>().toEqualTypeOf<Parameters<Tokenizer['decode']>[1]>();
    expectTypeOf<ErrorDetails | undefined>().toEqualTypeOf<
      ConstructorParameters<typeof SpeccascadeError>[2]
    >();
  });

  it('of the low level and of errors are those of the documentation', () => {
    expectTypeOf(benchedOn).returns.toEqualTypeOf<BenchResult>();
    expectTypeOf<SpeccascadeError['partial']>().toEqualTypeOf<Result | undefined>();
    expectTypeOf<SpeccascadeError['results']>().toEqualTypeOf<(Result | undefined)[] | undefined>();
  });
});
