/** null counts as not given, wherever callers may give options. */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  adaptive,
  bild,
  chain,
  chow,
  createSession,
  csDraft,
  dynamicTree,
  lossy,
  maxGram,
  runBatch,
  tree,
  T5Model,
  type BatchOptions,
  type DecodeSession,
  type GenerateOptions,
} from '../lib/index.ts';
import { bench, targetDistribution, verify } from '../lib/lowlevel.ts';
import { readOutput } from './support/batch.ts';
import { tempFolder } from './support/checkpoint-builder.ts';
import { goldenFolder } from './support/golden-files.ts';
import { device, loadGolden } from './support/models.ts';

const input = [5, 6, 1];

/** Every one of these names, as null. */
const nulls = (...names: string[]): object => Object.fromEntries(names.map((name) => [name, null]));

const samplingNames = ['temperature', 'topK', 'topP', 'seed'];
const requestNames = ['maxNewTokens', 'minNewTokens', 'stopTokens', 'suppressTokens', 'rule'];

describe('null', () => {
  let target: T5Model;
  let session: DecodeSession;
  beforeAll(async () => {
    target = await loadGolden('relu-tied');
    session = await createSession({ target, maxNewTokens: 4 });
  });
  afterAll(async () => {
    await session.close();
    await target.dispose();
  });

  it.each([
    ...samplingNames,
    ...requestNames,
    'numSamples',
    'logprobs',
    'priority',
    'signal',
    'onError',
  ])('as %s of a call', async (name) => {
    const options = { ...nulls(name) };
    const { tokens } = await session.generate(input);
    const one = await session.generate(input, options);
    expect(one.tokens).toEqual(tokens);
    expect((await session.generate([input], options))[0]).toMatchObject({ tokens });
    expect((await session.trySubmit(input, options)).tokens).toEqual(tokens);
    for await (const chunk of session.stream(input, options)) {
      if (chunk.done) expect(chunk.result.tokens).toEqual(tokens);
    }
  });

  it.each([
    ...requestNames,
    ...['draft', 'verifier', 'strategy', 'cascade', 'sampling', 'maxInputTokens', 'truncate'],
    ...['decoderPrefix', 'maxBatch', 'maxQueue', 'encoderTokensPerStep', 'lengths', 'reproducible'],
  ])('as %s of a session', async (name) => {
    await using one = await createSession({ target, ...nulls(name) });
    expect((await one.generate(input, { maxNewTokens: 4 })).tokens.length).toBeGreaterThan(0);
  });

  it('as options of sampling and of cascades', async () => {
    const draft = chain(target, { length: 2 });
    const sampling = nulls(...samplingNames);
    await using sequence = await createSession({
      ...{ target, draft, sampling, strategy: 'sequence-cascade', maxNewTokens: 4 },
      cascade: nulls('score', 'threshold', 'quantile'),
    });
    await using token = await createSession({
      ...{ target, draft, strategy: 'token-cascade', rule: chow({ alpha: 0.5 }), maxNewTokens: 4 },
      cascade: nulls('maxRun'),
      ...nulls('verifier'),
    });
    for (const one of [sequence, token]) {
      expect((await one.generate(input)).tokens.length).toBeGreaterThan(0);
    }
  });

  it.each(['device', 'dtype', 'threads', 'cacheDir', 'revision', 'signal', 'onProgress'])(
    'as %s of a load',
    async (name) => {
      const options = { device, ...nulls(name) };
      await using model = await T5Model.load(goldenFolder('relu-tied'), options);
      expect(model.parameters).toBe(target.parameters);
    },
  );

  it('as options of drafters and rules', () => {
    const given = (options: object, ...names: string[]) =>
      ({ ...options, ...nulls(...names) }) as never;
    expect(tree(target, given({ widths: [2] }, 'replacement'))).toEqual(
      tree(target, { widths: [2] }),
    );
    expect(dynamicTree(target, given({ nodes: 4 }, 'depth'))).toEqual(
      dynamicTree(target, { nodes: 4 }),
    );
    expect(maxGram(given({}, 'length', 'bigrams'))).toEqual(maxGram());
    const lengths = [[3, 3], [0, 2]]; // prettier-ignore
    for (const options of [
      given({ lengths }, 'maxGram', 'lenience'),
      given({ lengths, maxGram: nulls('length', 'bigrams') }),
    ]) {
      expect(csDraft([target], options)).toEqual(csDraft([target], { lengths }));
    }
    expect(adaptive(maxGram(), given({}, 'max', 'confidence'))).toEqual(adaptive(maxGram()));
    expect(lossy(given({ alpha: 0.5 }, 'beta'))).toEqual(lossy({ alpha: 0.5 }));
    expect(chow(given({ alpha: 0.5 }, 'loss'))).toEqual(chow({ alpha: 0.5 }));
    expect(bild(given({ rollback: 1 }, 'fallback'))).toEqual(bild({ rollback: 1 }));
  });

  it('as options of a batch job and of its records', async () => {
    const folder = await tempFolder();
    const options = nulls(...samplingNames, ...requestNames);
    const job = async (name: string, own: object, records: object[]): Promise<unknown> => {
      const output = path.join(folder, name);
      const names = { session, input: records, output, ...own } as BatchOptions;
      await runBatch(names);
      return readOutput(output);
    };
    const all = nulls(
      ...['field', 'prefix', 'seed', 'tokens', 'counters', 'resume', 'overwrite', 'shard'],
      ...['orderByLength', 'checkpointSeconds', 'signal', 'onProgress'],
    );
    const plain = await job('plain', {}, [{ text: input }, { text: input }]);
    expect(
      await job('null', all, [
        { text: input, options },
        { text: input, options: null },
      ]),
    ).toEqual(plain);
  });

  it('as options of single operations', () => {
    expect(bench('read', { bytes: 4096 }, nulls('device', 'dtype', 'repeats')).bytes).toBe(4096);
    const rows = Float32Array.of(0, 1);
    const optional = nulls('temperature', 'topK', 'topP', 'device');
    const shape = { rows: 1, vocab: 2 };
    expect(
      targetDistribution({ rule: 'lossless' }, null, rows, {
        ...shape,
        ...optional,
        ...nulls('input'),
      }),
    ).toEqual(targetDistribution({ rule: 'lossless' }, null, rows, shape));
    const step = {
      ...{ rule: { rule: 'lossless' } as const, vocab: 2, targetLogits: rows, drafterLogits: rows },
      ...{ parents: new Int32Array(0), tokens: new Int32Array(0) },
    };
    const names = ['drafterRows', 'proposals', 'replacement', 'verifier', 'stopTokens'];
    const draws = ['seed', 'request', 'position', 'step', 'uniforms'];
    expect(verify({ ...step, ...optional, ...nulls(...names, ...draws) })).toEqual(verify(step));
  });

  it('does not hide a name that means nothing', async () => {
    const options = { temprature: null } as GenerateOptions;
    await expect(session.generate(input, options)).rejects.toThrow('"temprature"');
  });
});
