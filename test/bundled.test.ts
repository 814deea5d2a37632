/** Bundled models: the reference's token ids on 64 real texts, in f32, bf16 and int8. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createSession, type T5Model } from '../lib/index.ts';
import { devices } from '../lib/lowlevel.ts';
import { bundledFolder, bundledNames, loadBundled, readJson } from './support/models.ts';

interface Golden {
  prefix: string;
  maxNewTokens: number;
  cases: { text: string; inputIds: number[]; tokens: number[]; output: string }[];
}

/** f32 margin below which two logits count as a near tie (README of the models). */
const nearTie = 0.3;

function readGolden(name: string): Golden {
  return readJson(path.join(bundledFolder(name), 'golden.json.gz')) as Golden;
}

/** f32 logit distance between the reference's token and the one given, where they first differ. */
async function marginAtDifference(
  model: T5Model,
  inputIds: number[],
  reference: number[],
  tokens: number[],
): Promise<number> {
  const at = reference.findIndex((token, i) => token !== tokens[i]);
  const decoderIds = [model.config.decoderStartTokenId, ...reference.slice(0, at)];
  const { data, shape } = await model.logits([inputIds], [decoderIds]);
  const row = data.subarray(at * shape[2], (at + 1) * shape[2]);
  return Math.abs(row[reference[at]!]! - row[tokens[at]!]!);
}

/** L2 norm of the difference over that of the reference, entries [begin, end). */
function relativeError(
  values: Float32Array,
  reference: Float32Array,
  begin: number,
  end: number,
): number {
  let difference = 0;
  let size = 0;
  for (let i = begin; i < end; i += 1) {
    difference += (values[i]! - reference[i]!) ** 2;
    size += reference[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

describe.each(bundledNames)('bundled model %s', (name) => {
  const golden = readGolden(name);

  it('tokenizes as the reference does', async () => {
    await using model = await loadBundled(name);
    for (const one of golden.cases) {
      expect(model.tokenizer?.encode(golden.prefix + one.text)).toEqual(one.inputIds);
      expect(model.tokenizer?.decode(one.tokens)).toBe(one.output);
    }
  });

  it('gives the reference tokens in f32', async () => {
    await using model = await loadBundled(name);
    await using session = await createSession({
      target: model,
      maxNewTokens: golden.maxNewTokens,
    });
    const results = await session.generate(golden.cases.map(({ inputIds }) => inputIds));
    expect(results.map(({ tokens }) => tokens)).toEqual(golden.cases.map(({ tokens }) => tokens));
  });

  it.each([
    ['bf16', 60],
    ['int8', 58],
  ] as const)('gives them in %s but for near ties', async (dtype, least) => {
    await using model = await loadBundled(name, { dtype });
    await using exact = await loadBundled(name);
    await using session = await createSession({
      target: model,
      maxNewTokens: golden.maxNewTokens,
    });
    const results = await session.generate(golden.cases.map(({ inputIds }) => inputIds));
    let equal = 0;
    for (const [i, { tokens }] of results.entries()) {
      const { inputIds, tokens: reference } = golden.cases[i]!;
      if (JSON.stringify(tokens) === JSON.stringify(reference)) equal += 1;
      else
        expect(await marginAtDifference(exact, inputIds, reference, tokens)).toBeLessThan(nearTie);
    }
    expect(equal).toBeGreaterThanOrEqual(least);
  });

  it.each([
    ['bf16', 0.01],
    ['int8', 0.015],
  ] as const)('has logits in %s near those in f32', async (dtype, bound) => {
    await using model = await loadBundled(name, { dtype });
    await using exact = await loadBundled(name);
    const inputs = golden.cases.map(({ inputIds }) => inputIds);
    const outputs = golden.cases.map(({ tokens }) => [
      exact.config.decoderStartTokenId,
      ...tokens.slice(0, -1),
    ]);
    let sum = 0;
    let rows = 0;
    for (const [i, input] of inputs.entries()) {
      const reference = await exact.logits([input], [outputs[i]!]);
      const { data } = await model.logits([input], [outputs[i]!]);
      for (let at = 0; at < data.length; at += reference.shape[2]) {
        sum += relativeError(data, reference.data, at, at + reference.shape[2]);
        rows += 1;
      }
    }
    expect(sum / rows).toBeLessThan(bound);
    // Another type was in use. Weights that are stored in bf16 lose nothing where the processor only
    // widens them.
    const rounds = dtype === 'int8' || devices()[0]!.features.includes('avx512_bf16');
    expect(sum > 0).toBe(rounds);
  });
});
