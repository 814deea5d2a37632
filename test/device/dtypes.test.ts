/** Golden checkpoints on the device with weights of 16 and 8 bits. */
import { describe, expect, it } from 'vitest';
import { chain, createSession, tree } from '../../lib/index.ts';
import { goldenCases, relativeError, rowPairs } from '../support/golden.ts';
import { device, goldenNames, loadGolden } from '../support/models.ts';

/**
 * Of a row of states or logits, relative to the float32 reference: a few times the rounding of
 * weights and inputs (2^-9 and 2^-12 of each), which some ten products add up. Measured: 8.7e-3,
 * 1.2e-3, 8.7e-3. (Matrices with fewer than 128 columns stay in bfloat16 under int8; of these
 * models relu-tied alone has others.)
 */
const tolerance = { bf16: 1.5e-2, f16: 2.5e-3, int8: 1.5e-2 };

type Dtype = keyof typeof tolerance;

describe.each(Object.keys(tolerance) as Dtype[])(`%s on ${device}`, (dtype) => {
  it.each(goldenNames)('%s: states and logits near the reference', async (name) => {
    await using model = await loadGolden(name, { dtype });
    const one = goldenCases(name)[0]!;
    const states = await model.encode(one.inputIds);
    const logits = await model.logits(one.inputIds, one.decoderInputIds);
    const pairs = [...rowPairs(one.encoderLast, states), ...rowPairs(one.logits, logits)];
    const errors = pairs.map(({ expected, actual }) => relativeError(expected, actual));
    expect(Math.max(...errors)).toBeLessThan(tolerance[dtype]);
    expect(Math.max(...errors)).toBeGreaterThan(0);
  });

  it('speculation changes no token', async () => {
    await using target = await loadGolden('gated-untied', { dtype });
    await using drafter = await loadGolden('relu-tied', { dtype });
    const common = { target, maxNewTokens: 8, maxInputTokens: 16, maxBatch: 2 };
    const inputs = goldenCases('gated-untied')[0]!
      .inputIds.slice(0, 2)
      .map((ids) => ids.slice(-9));
    await using plain = await createSession(common);
    const greedy = await tokensOf(plain, inputs);
    for (const draft of [chain(drafter, { length: 3 }), tree(target, { widths: [2, 1] })]) {
      await using session = await createSession({ ...common, draft });
      expect(await tokensOf(session, inputs)).toEqual(greedy);
    }
  });
});

async function tokensOf(
  session: Awaited<ReturnType<typeof createSession>>,
  inputs: number[][],
): Promise<number[][]> {
  return (await session.generate(inputs)).map(({ tokens }) => tokens);
}
