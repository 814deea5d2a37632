/** What callers may write, as the compiler sees it: `tsc --noEmit` is what can fail here. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, expectTypeOf, it } from 'vitest';
import {
  chain,
  tree,
  type BatchOptions,
  type csDraft,
  type DecodeOptions,
  type DecodeSession,
  type Drafter,
  type DrafterInput,
  type ErrorDetails,
  type GenerateOptions,
  type IdRows,
  type Input,
  type LoadOptions,
  type ModelType,
  type Result,
  type Rule,
  type RuleInput,
  type SessionOptions,
  type SpeccascadeError,
  type StreamChunk,
  type T5Config,
  type T5Model,
  type Tokenizer,
} from '../lib/index.ts';
import {
  bench,
  type BenchResult,
  type philox,
  type targetDistribution,
  type VerifyOptions,
} from '../lib/lowlevel.ts';
import { root } from './support/cli.ts';

type Outcome = Result | SpeccascadeError;

/** T with undefined in place of all that may be left out. */
type Unfilled<T> = {
  [K in keyof T]-?: Partial<Pick<T, K>> extends Pick<T, K> ? undefined : T[K];
};

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
    thrown: await session.generate(['a'], { onError: undefined }),
    returned: await session.generate(['a'], { onError: 'return' }),
    submitted: await session.trySubmit(ids),
    submittedSamples: await session.trySubmit(ids, { numSamples: 2 }),
  };
}

/** With options of which the compiler does not know what they hold. */
async function generatingBy(session: DecodeSession, options: GenerateOptions) {
  const { numSamples, ...others } = options;
  return {
    one: await session.generate('a', options),
    submitted: await session.trySubmit('a', options),
    single: await session.generate('a', others),
    perhaps: await session.generate('a', { numSamples }),
    list: await session.generate(['a'], options),
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

/** Rules and drafters as they may be written, without what has a default. */
const handWritten = (target: T5Model, small: T5Model): SessionOptions[] => [
  { target, draft: { drafter: 'chain', model: small, length: 4 }, rule: { rule: 'lossless' } },
  {
    target,
    draft: { drafter: 'tree', source: small, widths: [2] },
    rule: { rule: 'opt', alpha: 1 },
  },
  { target, draft: { drafter: 'tree', source: { drafter: 'maxGram' }, widths: [2] } },
  { target, draft: { drafter: 'dynamicTree', model: small, nodes: 4 } },
  { target, draft: { drafter: 'maxGram' }, rule: { rule: 'bild', rollback: 1 } },
  { target, draft: { drafter: 'csDraft', models: [small], lengths: [[2, 2], [0, 2]] } }, // prettier-ignore
  { target, draft: { drafter: 'adaptive', source: { drafter: 'maxGram' } } },
  { target, draft: chain(small, { length: 4 }), rule: { rule: 'lossy', alpha: 0.1 } },
];

/** As another model was loaded. */
const alike = ({ device, dtype }: T5Model): LoadOptions => ({ device, dtype });

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
    given
      .pick<'samples' | 'none' | 'list' | 'frozen' | 'constant' | 'thrown' | 'submittedSamples'>()
      .toEqualTypeOf<{
        samples: Result[];
        none: Result[];
        list: Result[];
        frozen: Result[];
        constant: Result[];
        thrown: Result[];
        submittedSamples: Result[];
      }>();
    given.toHaveProperty('returned').toEqualTypeOf<Outcome[]>();
    expectTypeOf(union).returns.resolves.toEqualTypeOf<Result>();
  });

  it('of results are either where options may ask for samples', () => {
    expectTypeOf(generatingBy).returns.resolves.toEqualTypeOf<{
      one: Result | Result[];
      submitted: Result | Result[];
      single: Result;
      perhaps: Result | Result[];
      list: Outcome[];
    }>();
  });

  it('take lists that nobody may change', () => {
    expectTypeOf(readonlyOptions).returns.toExtend<SessionOptions>();
    expectTypeOf<{ stopTokens: readonly number[] }>().toExtend<GenerateOptions>();
    expectTypeOf<{ stopTokens: Int32Array }>().toExtend<GenerateOptions>();
    expectTypeOf<{ suppressTokens: Int32Array }>().toExtend<GenerateOptions>();
    expectTypeOf<readonly T5Model[]>().toExtend<Parameters<typeof csDraft>[0]>();
    expectTypeOf<readonly (readonly number[])[]>().toExtend<Parameters<T5Model['encode']>[0]>();
    expectTypeOf<readonly Int32Array[]>().toExtend<Parameters<T5Model['encode']>[0]>();
    expectTypeOf<readonly [0, 0, 0, 0]>().toExtend<Parameters<typeof philox>[1]>();
  });

  it('take rules and drafters without what has a default', () => {
    expectTypeOf(handWritten).returns.toEqualTypeOf<SessionOptions[]>();
    expectTypeOf<{ rule: { rule: 'bild'; rollback: number } }>().toExtend<GenerateOptions>();
    expectTypeOf<{ rule: 'chow'; alpha: number }>().toExtend<
      Parameters<typeof targetDistribution>[0]
    >();
    expectTypeOf<{ rule: 'tokenV1'; alpha: number }>().toExtend<VerifyOptions['rule']>();
    expectTypeOf<Rule>().toExtend<RuleInput>();
    expectTypeOf<Drafter>().toExtend<DrafterInput>();
    expectTypeOf<{ rule: 'bild' }>().not.toExtend<RuleInput>();
    expectTypeOf<{ drafter: 'chain'; model: T5Model }>().not.toExtend<DrafterInput>();
  });

  it('take undefined for what is not given', () => {
    expectTypeOf<Unfilled<GenerateOptions>>().toExtend<GenerateOptions>();
    expectTypeOf<Unfilled<LoadOptions>>().toExtend<LoadOptions>();
    expectTypeOf<Unfilled<SessionOptions>>().toExtend<SessionOptions>();
    expectTypeOf<Unfilled<DecodeOptions>>().toExtend<DecodeOptions>();
    expectTypeOf<Unfilled<BatchOptions>>().toExtend<BatchOptions>();
  });

  it('of a chunk follow from whether it is the last', () => {
    expectTypeOf<StreamChunk>().toHaveProperty('result').toEqualTypeOf<Result | undefined>();
    expectTypeOf<StreamChunk & { done: true }>().toHaveProperty('result').toEqualTypeOf<Result>();
  });

  it('of a loaded model say how to load another alike', () => {
    expectTypeOf(alike).returns.toEqualTypeOf<LoadOptions>();
  });

  it('that signatures use have names', () => {
    expectTypeOf<IdRows>().toEqualTypeOf<Parameters<T5Model['encode']>[0]>();
    expectTypeOf<ModelType>().toEqualTypeOf<T5Config['modelType']>();
    expectTypeOf<DecodeOptions | undefined>().toEqualTypeOf<Parameters<Tokenizer['decode']>[1]>();
    expectTypeOf<ErrorDetails | undefined>().toEqualTypeOf<
      ConstructorParameters<typeof SpeccascadeError>[2]
    >();
  });

  it('are declared in words that TypeScript below 5.7 knows', () => {
    const folder = path.join(root, 'dist');
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    const declarations = files.filter((file) => file.endsWith('.d.ts'));
    expect(declarations).toContain('index.d.ts');
    const generic = declarations.filter((file) =>
      /Array<ArrayBuffer|Buffer<ArrayBuffer/.test(readFileSync(path.join(folder, file), 'utf8')),
    );
    expect(generic).toEqual([]);
  });

  it('of the low level and of errors are those of the documentation', () => {
    expectTypeOf(benchedOn).returns.toEqualTypeOf<BenchResult>();
    expectTypeOf<SpeccascadeError['partial']>().toEqualTypeOf<Result | undefined>();
    expectTypeOf<SpeccascadeError['results']>().toEqualTypeOf<(Result | undefined)[] | undefined>();
  });
});
