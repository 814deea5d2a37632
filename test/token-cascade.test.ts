/** When a token cascade calls the target. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chain, chow, createSession, type SessionOptions, type T5Model } from '../lib/index.ts';
import { captions, loadBundled } from './support/models.ts';

let target: T5Model;
let drafter: T5Model;
let settings: SessionOptions;

beforeAll(async () => {
  [target, drafter] = await Promise.all([loadBundled('large'), loadBundled('base')]);
  settings = {
    ...{ target, draft: chain(drafter, { length: 4 }), rule: chow({ alpha: 1 }) },
    ...{ strategy: 'token-cascade', cascade: { maxRun: 100 } },
  };
});
afterAll(async () => {
  await Promise.all([target, drafter].map((model) => model.dispose()));
});

describe('a token cascade whose drafter is always kept', () => {
  it('does not call the target where the output ends with a draft', async () => {
    await using cascade = await createSession(settings);
    await using alone = await createSession({ target: drafter });
    for (const options of [{}, { maxNewTokens: 5 }, { maxNewTokens: 1 }]) {
      for (const text of captions(4)) {
        const { tokens, stats, finishReason } = await cascade.generate(text, options);
        const expected = await alone.generate(text, options);
        expect({ tokens, finishReason }).toEqual({
          tokens: expected.tokens,
          finishReason: expected.finishReason,
        });
        expect(stats).toMatchObject({
          ...{ targetCalls: 0, draftCalls: [tokens.length], accepted: tokens.length },
          ...{ blockEfficiency: 0, deferralRate: 0 },
        });
      }
    }
  });

  it('calls it after maxRun tokens, and for log-probabilities', async () => {
    await using short = await createSession({ ...settings, cascade: { maxRun: 3 } });
    const { stats } = await short.generate(captions(1)[0]!, { maxNewTokens: 8 });
    // Three drafted and one of the target's, then three and one.
    expect(stats).toMatchObject({ targetCalls: 2, accepted: 6 });
    await using cascade = await createSession(settings);
    const [text] = captions(1);
    const result = await cascade.generate(text!, { logprobs: true });
    expect(result.stats.targetCalls).toBe(1);
    const { tokens } = await target.score([target.tokenizer!.encode(text!)], [result.tokens]);
    result.logprobs!.forEach((value, i) => expect(value).toBeCloseTo(tokens[0]![i]!, 4));
  });

  it('decodes beside requests that call the target', async () => {
    await using cascade = await createSession(settings);
    const texts = captions(6);
    const rules = [chow({ alpha: 1 }), chow({ alpha: 0.2 })];
    const together = await Promise.all(
      texts.map((text, i) => cascade.generate(text, { rule: rules[i % 2] })),
    );
    for (const [i, text] of texts.entries()) {
      const { tokens, stats } = await cascade.generate(text, { rule: rules[i % 2] });
      expect(tokens).toEqual(together[i]!.tokens);
      expect(stats.targetCalls).toBe(together[i]!.stats.targetCalls);
    }
  });
});
