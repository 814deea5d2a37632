/** What a sweep counts of its runs is what sessions count. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { costOf } from '../lib/evaluate/points.ts';
import { runMethod } from '../lib/evaluate/run.ts';
import type { MethodSession } from '../lib/evaluate/method.ts';
import { chain, chow, createSession, type T5Model } from '../lib/index.ts';
import { captions, loadBundled } from './support/models.ts';

let target: T5Model;
let drafter: T5Model;
beforeAll(async () => {
  [target, drafter] = await Promise.all([loadBundled('base'), loadBundled('small')]);
});
afterAll(() => Promise.all([target.dispose(), drafter.dispose()]));

const sizes = { maxNewTokens: 24, maxInputTokens: 64 };

it.each<[string, Omit<MethodSession, 'target' | 'draft'>]>([
  ['speculation', { rule: chow({ alpha: 0.3 }) }],
  ['a token cascade', { strategy: 'token-cascade', rule: chow({ alpha: 0.3 }) }],
  ['a sequence cascade', { strategy: 'sequence-cascade', cascade: { threshold: 1e-3 } }],
])('the deferral rate of %s', async (id, options) => {
  const session = { target, draft: chain(drafter, { length: 3 }), ...options };
  const inputs = captions(12).map((text) => Int32Array.from(target.tokenizer!.encode(text)));
  const run = await runMethod(
    { id, curve: id, parameter: null, kind: 'rule', session },
    {
      ...{ temperature: 0, part: 0, inputs, seed: 0n, batch: 4, ...sizes },
      signal: new AbortController().signal,
    },
  );
  await using same = await createSession({ ...session, ...sizes });
  await same.generate(inputs);
  const { deferralRate } = same.stats().totals;
  expect(deferralRate).toBeGreaterThan(0);
  expect(deferralRate).toBeLessThan(1);
  expect(costOf([{ ...run, targetMsPerToken: 1 }]).deferralRate).toBeCloseTo(deferralRate!, 10);
});
