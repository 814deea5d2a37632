/** A session's totals: counters of the outputs that have ended, whatever else runs. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chain, chow, createSession, lossy, type Rule, type T5Model } from '../lib/index.ts';
import { captions, loadBundled } from './support/models.ts';

const [first = '', second = ''] = captions(2);
let target: T5Model;
let drafter: T5Model;

beforeAll(async () => {
  target = await loadBundled('large');
  drafter = await loadBundled('base');
});
afterAll(async () => {
  await target.dispose();
  await drafter.dispose();
});

it('leaves tokens of running outputs out of block efficiency', async () => {
  await using session = await createSession({ target, maxBatch: 2, maxNewTokens: 512 });
  const long = session.generate(first, { minNewTokens: 512 });
  await expect.poll(() => session.stats().tokens, { interval: 1 }).toBeGreaterThan(50);
  const short = await session.generate(second, { maxNewTokens: 4 });
  const { totals, tokens } = session.stats();
  expect(totals.targetCalls).toBe(4);
  expect(totals.blockEfficiency).toBe(1);
  expect(tokens).toBeGreaterThan(50 + short.tokens.length);
  await long;
  expect(session.stats().tokens).toBe(516);
});

it('has a deferral rate of the calls whose rules defer, whatever the default', async () => {
  const draft = chain(drafter, { length: 3 });
  const rates = async (rules: Rule[]): Promise<(number | null)[]> => {
    await using session = await createSession({ target, draft, maxBatch: 1 });
    const own: (number | null)[] = [];
    for (const rule of rules) {
      own.push((await session.generate(first, { rule })).stats.deferralRate);
    }
    return [...own, session.stats().totals.deferralRate];
  };
  const deferring = chow({ alpha: 0.3 });
  const [rate] = await rates([deferring]);
  expect(rate).toBeGreaterThan(0);
  expect(await rates([lossy({ alpha: 0.3 })])).toEqual([null, null]);
  expect(await rates([deferring, lossy({ alpha: 0.3 })])).toEqual([rate, null, rate]);
});
