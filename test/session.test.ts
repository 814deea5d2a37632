/** What sessions do with their options: ends, limits, samples, streams, aborts, totals, the event loop. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  chain,
  chow,
  createSession,
  lossy,
  SpeccascadeError,
  type Rule,
  type T5Model,
} from '../lib/index.ts';
import { caught } from './support/caught.ts';
import { captions, loadBundled, loadGolden } from './support/models.ts';

const [first = '', second = '', third = ''] = captions(3);

describe('a session', () => {
  let target: T5Model;
  let drafter: T5Model;
  const draftOf = (length: number) => chain(drafter, { length });

  beforeAll(async () => {
    target = await loadBundled('large');
    drafter = await loadBundled('base');
  });
  afterAll(async () => {
    await target.dispose();
    await drafter.dispose();
  });

  it('ends at the end token and says so', async () => {
    await using session = await createSession({ target, draft: draftOf(5) });
    const result = await session.generate(first);
    expect(result.finishReason).toBe('eos');
    expect(result.tokens.at(-1)).toBe(1);
    expect(result.tokens.indexOf(1)).toBe(result.tokens.length - 1);
    expect(result.text).toBe(target.tokenizer?.decode(result.tokens));
  });

  it.each([0, 1, 3, 8])('keeps to maxNewTokens with drafts of %i', async (gamma) => {
    const draft = gamma > 0 ? { draft: draftOf(gamma) } : {};
    await using session = await createSession({ target, ...draft });
    const whole = await session.generate(first);
    for (let limit = 1; limit < whole.tokens.length; limit += 1) {
      const cut = await session.generate(first, { maxNewTokens: limit });
      expect(cut.tokens).toEqual(whole.tokens.slice(0, limit));
      expect(cut.finishReason).toBe('length');
    }
  });

  it('ends at a stop token anywhere inside an accepted block', async () => {
    await using session = await createSession({ target, draft: draftOf(8) });
    const whole = await session.generate(second);
    for (const [at, stop] of whole.tokens.slice(0, -1).entries()) {
      if (whole.tokens.indexOf(stop) !== at) continue;
      const cut = await session.generate(second, { stopTokens: [stop] });
      expect(cut.tokens).toEqual(whole.tokens.slice(0, at + 1));
      expect(cut.finishReason).toBe('stop');
    }
  });

  it('does not end before minNewTokens', async () => {
    await using session = await createSession({ target, draft: draftOf(4) });
    await using plain = await createSession({ target });
    const result = await session.generate(first, { minNewTokens: 40 });
    expect(result.tokens.length).toBeGreaterThanOrEqual(40);
    expect(result.tokens.slice(0, 39)).not.toContain(1);
    expect((await plain.generate(first, { minNewTokens: 40 })).tokens).toEqual(result.tokens);
  });

  it("cuts its own minNewTokens to a call's maxNewTokens", async () => {
    await using session = await createSession({ target, minNewTokens: 20 });
    const result = await session.generate(first, { maxNewTokens: 5 });
    expect([result.tokens.length, result.finishReason]).toEqual([5, 'length']);
  });

  it('counts different suppressed tokens, not how often they are named', async () => {
    await using session = await createSession({ target, maxNewTokens: 8 });
    const suppressTokens = new Int32Array(target.config.vocabSize).fill(10);
    const { tokens } = await session.generate(first, { suppressTokens });
    expect(tokens).toEqual((await session.generate(first, { suppressTokens: [10] })).tokens);
  });

  it('never emits suppressed tokens, and equals the target doing the same', async () => {
    await using session = await createSession({ target, draft: draftOf(4) });
    await using plain = await createSession({ target });
    const { tokens } = await session.generate(first);
    const suppressTokens = tokens.slice(0, 3);
    const result = await session.generate(first, { suppressTokens });
    for (const token of suppressTokens) expect(result.tokens).not.toContain(token);
    expect((await plain.generate(first, { suppressTokens })).tokens).toEqual(result.tokens);
  });

  it('takes a decoderPrefix of more tokens than a call has arguments', async () => {
    const decoderPrefix = new Int32Array(200_000).fill(2);
    const tiny = await loadGolden('relu-tied');
    await using session = await createSession({ target: tiny, decoderPrefix, maxBatch: 1 });
    expect(session.settings.prefix).toHaveLength(200_001);
    await tiny.dispose();
    const endless = { target: tiny, decoderPrefix: new Int32Array(2 ** 20) };
    await expect(createSession(endless)).rejects.toThrow(/decoderPrefix: .*received 1048576/);
  });

  it('starts from decoderPrefix', async () => {
    await using plain = await createSession({ target });
    const whole = await plain.generate(first);
    const prefix = whole.tokens.slice(0, 4);
    for (const decoderPrefix of [prefix, [target.config.decoderStartTokenId, ...prefix]]) {
      await using session = await createSession({ target, draft: draftOf(3), decoderPrefix });
      const rest = await session.generate(first);
      expect(rest.tokens).toEqual(whole.tokens.slice(4));
    }
  });

  it('takes a decoderPrefix of the start token alone for none', async () => {
    const options = { temperature: 1, seed: 5, logprobs: true };
    await using plain = await createSession({ target });
    const whole = await plain.generate(first, options);
    const decoderPrefix = [target.config.decoderStartTokenId];
    await using session = await createSession({ target, decoderPrefix });
    const { tokens, logprobs } = await session.generate(first, options);
    expect({ tokens, logprobs }).toEqual({ tokens: whole.tokens, logprobs: whole.logprobs });
  });

  it('gives log-probabilities equal to score()', async () => {
    await using session = await createSession({ target, draft: draftOf(4) });
    for (const options of [{}, { temperature: 1, seed: 3 }, { suppressTokens: [10, 11] }]) {
      const { tokens, logprobs } = await session.generate(first, { ...options, logprobs: true });
      const inputIds = target.tokenizer!.encode(first);
      const score = await target.score([inputIds], [Int32Array.from(tokens)]);
      expect([...logprobs!]).toEqual([...score.tokens[0]!]);
    }
  });

  it('gives many samples from one encoder pass', async () => {
    await using session = await createSession({ target, draft: draftOf(3), maxBatch: 4 });
    const samples = await session.generate(first, { numSamples: 9, temperature: 1, seed: 1 });
    expect(samples.length).toBe(9);
    expect(new Set(samples.map(({ text }) => text)).size).toBeGreaterThan(3);
    const both = await session.generate([first, second], {
      numSamples: 2,
      temperature: 1,
      seed: 1,
    });
    expect(both.map(({ text }) => text).slice(0, 2)).toEqual(
      samples.slice(0, 2).map(({ text }) => text),
    );
  });

  it('adds its counters up', async () => {
    await using session = await createSession({ target, draft: draftOf(4), maxBatch: 2 });
    const results = await session.generate(captions(6));
    for (const { stats, tokens } of results) {
      const neverReached = stats.proposed - stats.tested;
      const rejected = stats.tested - stats.accepted;
      expect(neverReached).toBeGreaterThanOrEqual(0);
      expect(rejected).toBeLessThanOrEqual(stats.targetCalls);
      expect(stats.accepted + stats.targetCalls).toBeGreaterThanOrEqual(tokens.length);
      expect(stats.blockEfficiency).toBeCloseTo(tokens.length / stats.targetCalls);
      expect(stats.draftCalls).toEqual([stats.proposed]);
    }
    const { totals, outputs, tokens, queued, active } = session.stats();
    const sum = (pick: (r: (typeof results)[number]) => number) =>
      results.reduce((total, r) => total + pick(r), 0);
    expect([outputs, queued, active]).toEqual([6, 0, 0]);
    expect(tokens).toBe(sum((r) => r.tokens.length));
    expect(totals.accepted).toBe(sum((r) => r.stats.accepted));
    expect(totals.targetCalls).toBe(sum((r) => r.stats.targetCalls));
  });

  it('takes ids, works without a tokenizer, and gives [] for []', async () => {
    await using ids = await loadGolden('umt5');
    await using session = await createSession({ target: ids, maxNewTokens: 5 });
    expect(await session.generate([])).toEqual([]);
    const one = await session.generate([7, 8, 1]);
    const many = await session.generate([[7, 8, 1], Int32Array.of(7, 8, 1)]);
    expect(many.map(({ tokens }) => tokens)).toEqual([one.tokens, one.tokens]);
    expect(one.text).toBeNull();
  });

  it('truncates only when asked to, the end token staying last', async () => {
    await using session = await createSession({ target, maxInputTokens: 8, truncate: true });
    await using other = await createSession({ target });
    const ids = target.tokenizer!.encode(first);
    const cut = await session.generate(first);
    const same = await other.generate([...ids.slice(0, 7), 1]);
    expect(cut.tokens).toEqual(same.tokens);
  });

  it('streams what generate gives', async () => {
    await using session = await createSession({ target, draft: draftOf(4) });
    for (const options of [{}, { temperature: 1, seed: 9 }]) {
      const whole = await session.generate(third, options);
      const chunks = [];
      for await (const chunk of session.stream(third, options)) chunks.push(chunk);
      expect(chunks.map(({ text }) => text).join('')).toBe(whole.text);
      expect(chunks.flatMap(({ tokens }) => tokens)).toEqual(whole.tokens);
      expect(chunks.map(({ done }) => done)).toEqual(chunks.map((_, i) => i + 1 === chunks.length));
      expect(chunks.at(-1)?.result?.tokens).toEqual(whole.tokens);
      const accepted = chunks.reduce((sum, chunk) => sum + chunk.accepted, 0);
      expect(accepted).toBe(whole.stats.accepted);
    }
  });

  it('aborts a stream that is left early', async () => {
    await using session = await createSession({ target, minNewTokens: 100 });
    for await (const chunk of session.stream(third)) {
      if (chunk.tokens.length > 0) break;
    }
    await expect.poll(() => session.stats().active).toBe(0);
    expect((await session.generate(third)).tokens.length).toBeGreaterThan(0);
  });

  it('yields nothing more of a stream once it is aborted, ended or not', async () => {
    await using session = await createSession({ target, draft: draftOf(2) });
    const whole = await session.generate(first);
    const abort = new AbortController();
    const chunks = session.stream(first, { signal: abort.signal });
    expect((await chunks.next()).done).toBe(false);
    await expect.poll(() => session.stats().outputs).toBe(2); // it has ended, unread
    abort.abort('enough');
    const error = await caught(chunks.next());
    expect(error).toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
    expect(error.partial).toMatchObject({ tokens: whole.tokens, finishReason: 'aborted' });
    expect(await chunks.next()).toMatchObject({ done: true });
  });

  it('aborts within a step, with the reason and what there is so far', async () => {
    await using session = await createSession({ target, maxNewTokens: 4000 });
    const controller = new AbortController();
    const options = { minNewTokens: 4000, signal: controller.signal };
    const work = session.generate(first, options);
    const failure = caught(work);
    await expect.poll(() => session.stats().tokens, { interval: 1 }).toBeGreaterThan(0);
    controller.abort(new Error('enough'));
    const error = await failure;
    expect(error).toBeInstanceOf(SpeccascadeError);
    expect(error.code).toBe('ERR_ABORTED');
    expect((error.cause as Error).message).toBe('enough');
    expect(error.partial?.tokens.length).toBeGreaterThan(0);
    expect(error.partial?.finishReason).toBe('aborted');
    const after = await session.generate(second, { maxNewTokens: 3 });
    expect(after.tokens.length).toBe(3);
  });

  it('aborts work under way when it closes', async () => {
    const session = await createSession({ target, maxNewTokens: 4000, maxBatch: 2 });
    const work = captions(6).map((text) => session.generate(text, { minNewTokens: 4000 }));
    const settled = Promise.allSettled(work);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await session.close();
    await session.close();
    for (const outcome of await settled) {
      expect(outcome.status).toBe('rejected');
      const reason: unknown = (outcome as PromiseRejectedResult).reason;
      expect((reason as SpeccascadeError).code).toBe('ERR_ABORTED');
    }
    await expect(session.generate(first)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('keeps a disposed model alive until it closes', async () => {
    const model = await loadBundled('small');
    const session = await createSession({ target: model });
    await model.dispose();
    await model.dispose();
    expect((await session.generate(first)).tokens.length).toBeGreaterThan(0);
    await expect(model.encode([[1]])).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await session.close();
  });

  it('leaves the event loop free', async () => {
    await using session = await createSession({ target, draft: draftOf(4), maxBatch: 16 });
    const lateness: number[] = [];
    let due = performance.now() + 5;
    const timer = setInterval(() => {
      lateness.push(performance.now() - due);
      due = performance.now() + 5;
    }, 5);
    const began = performance.now();
    await session.generate(captions(150));
    const elapsed = performance.now() - began;
    clearInterval(timer);
    lateness.sort((a, b) => a - b);
    const p95 = lateness[Math.floor(lateness.length * 0.95)]!;
    // Compute threads use every core, so a timer can be late by a time slice, but not by a step.
    expect(lateness.length).toBeGreaterThan(elapsed / 5 / 4);
    expect(p95).toBeLessThan(25);
  });

  it('leaves tokens of running outputs out of its totals', async () => {
    const most = 2048; // not at its end before the other one is
    await using session = await createSession({ target, maxBatch: 2, maxNewTokens: most });
    const long = session.generate(first, { minNewTokens: most });
    await expect.poll(() => session.stats().tokens, { interval: 1 }).toBeGreaterThan(50);
    const short = await session.generate(second, { maxNewTokens: 4 });
    const { totals, tokens } = session.stats();
    expect(totals.targetCalls).toBe(4);
    expect(totals.blockEfficiency).toBe(1);
    expect(tokens).toBeGreaterThan(50 + short.tokens.length);
    await long;
    expect(session.stats().tokens).toBe(most + 4);
  });

  it('has a deferral rate of the calls whose rules defer, whatever the default', async () => {
    const rates = async (rules: Rule[]): Promise<(number | null)[]> => {
      await using session = await createSession({ target, draft: draftOf(3), maxBatch: 1 });
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
});
