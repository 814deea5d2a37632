/** Who waits, who goes first, and what a session tells about it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chain, createSession, SpeccascadeError, type T5Model } from '../lib/index.ts';
import { loadGolden } from './support/models.ts';

const input = [5, 6, 1];
/** Runs to its limit: the tiny models' end token is suppressed. */
const long = { suppressTokens: [1], maxNewTokens: 40 };

describe('the queue of a session', () => {
  let target: T5Model;
  beforeAll(async () => {
    target = await loadGolden('relu-tied');
  });
  afterAll(() => target.dispose());

  /** One slot, places for two. */
  const narrow = () => createSession({ target, maxBatch: 1, maxQueue: 2, maxNewTokens: 40 });

  it('lets generate() wait, in order, and loses nothing', async () => {
    await using session = await narrow();
    const ended: number[] = [];
    const results = Array.from({ length: 12 }, async (_, i) => {
      const result = await session.generate(input, long);
      ended.push(i);
      return result;
    });
    expect(session.stats().queued).toBeGreaterThan(2);
    const all = await Promise.all(results);
    expect(ended).toEqual(all.map((_, i) => i));
    for (const result of all) expect(result.tokens).toEqual(all[0]!.tokens);
    const stats = session.stats();
    expect([stats.queued, stats.outputs, stats.queueLimit]).toEqual([0, 12, 2]);
  });

  it('rejects trySubmit() at once with size and limit', async () => {
    await using session = await narrow();
    const taken = Array.from({ length: 3 }, () => session.trySubmit(input, long));
    const error: unknown = await session.trySubmit(input, long).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SpeccascadeError);
    expect(error).toMatchObject({ code: 'ERR_QUEUE_FULL', size: 3, limit: 2 });
    expect((error as Error).message).toBe(
      'the queue is full: 3 requests have not begun; free slots take 1 of them, and maxQueue is 2',
    );
    const results = await Promise.all(taken);
    for (const result of results) expect(result.finishReason).toBe('length');
    expect((await session.trySubmit(input, long)).tokens).toEqual(results[0]!.tokens);
    expect(await session.trySubmit(input, { ...long, numSamples: 2 })).toHaveLength(2);
  });

  it('refuses what makes no sense, with the value', async () => {
    await using session = await narrow();
    const refused = { code: 'ERR_INPUT' };
    await expect(session.generate(input, { priority: 11 })).rejects.toMatchObject(refused);
    await expect(session.generate(input, { priority: 0.5 })).rejects.toThrow('0.5');
    await expect(session.trySubmit([input] as never)).rejects.toMatchObject(refused);
    await expect(createSession({ target, maxQueue: 0 })).rejects.toMatchObject(refused);
    await expect(createSession({ target, encoderTokensPerStep: 0 })).rejects.toMatchObject(refused);
  });

  it('starts higher priorities first', async () => {
    await using session = await createSession({ target, maxBatch: 1, maxNewTokens: 4096 });
    const blocker = session.stream(input, { ...long, maxNewTokens: 4096 });
    await blocker.next();
    const order: number[] = [];
    const run = (priority: number): Promise<number> =>
      session.generate(input, { ...long, priority }).then(() => order.push(priority));
    const all = [0, -3, 2, 0, 10, 2].map(run);
    await blocker.return();
    await Promise.all(all);
    expect(order).toEqual([10, 2, 2, 0, 0, -3]);
  });

  it('ends waiting requests, too, at their deadline or abort', async () => {
    await using session = await createSession({
      ...{ target, maxBatch: 1, maxQueue: 1, maxNewTokens: 4096 },
    });
    const endless = { suppressTokens: [1], maxNewTokens: 4096 };
    const signal = AbortSignal.timeout(50);
    const running = session.generate(input, { ...endless, signal });
    const inEngine = session.generate(input, { ...endless, signal });
    const pending = session.generate(input, { ...endless, signal });
    const after = session.generate(input, long);
    for (const outcome of await Promise.allSettled([running, inEngine, pending])) {
      const error: unknown = outcome.status === 'rejected' ? outcome.reason : null;
      expect(error).toMatchObject({ code: 'ERR_ABORTED', cause: { name: 'TimeoutError' } });
      expect((error as SpeccascadeError).partial).toMatchObject({ finishReason: 'aborted' });
    }
    expect((await after).finishReason).toBe('length');
    expect(session.stats()).toMatchObject({ queued: 0, active: 0 });
  });

  it('counts every sample of a call that is aborted before the engine has it', async () => {
    await using session = await createSession({
      ...{ target, maxBatch: 1, maxQueue: 1, maxNewTokens: 4096 },
    });
    const running = session.stream(input, { ...long, maxNewTokens: 4096 });
    await running.next();
    const inEngine = session.generate(input, long);
    const abort = new AbortController();
    const pending = session.generate(input, { ...long, numSamples: 3, signal: abort.signal });
    expect(session.stats()).toMatchObject({ queued: 2, outputs: 0 });
    abort.abort();
    await expect(pending).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(session.stats()).toMatchObject({ queued: 1, outputs: 3 });
    await running.return();
    await inEngine;
    expect(session.stats().outputs).toBe(5);
  });

  it('ends waiting requests when it is closed', async () => {
    const session = await createSession({ target, maxBatch: 1, maxQueue: 2, maxNewTokens: 4096 });
    const endless = { suppressTokens: [1], maxNewTokens: 4096 };
    const requests = Array.from({ length: 8 }, () => session.generate(input, endless));
    const outcomes = Promise.allSettled(requests);
    await session.close();
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_ABORTED' } });
    }
    expect(session.stats()).toMatchObject({ queued: 0, active: 0, outputs: 8 });
    await expect(session.trySubmit(input)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('leaves slots to others while many samples are drawn', async () => {
    await using session = await createSession({ target, maxBatch: 4, maxNewTokens: 40 });
    const samples = session.generate(input, { ...long, numSamples: 300, temperature: 1 });
    const ended: string[] = [];
    await Promise.all([
      samples.then(() => ended.push('samples')),
      ...[1, 2, 3].map((i) => session.generate(input, long).then(() => ended.push(`other ${i}`))),
    ]);
    expect(ended.at(-1)).toBe('samples');
    expect(session.stats().outputs).toBe(303);
  });

  it('counts what services ask about', async () => {
    const draft = chain(target, { length: 3 });
    await using session = await createSession({ target, draft, maxBatch: 4, maxNewTokens: 40 });
    expect(session.stats()).toMatchObject({ slotUse: 0, tokensPerSecond: 0, slots: 4 });
    const results = await session.generate(
      Array.from({ length: 9 }, () => input),
      long,
    );
    const stats = session.stats();
    const tokens = results.reduce((sum, result) => sum + result.tokens.length, 0);
    const calls = results.reduce((sum, result) => sum + result.stats.targetCalls, 0);
    expect(stats).toMatchObject({ tokens, outputs: 9, slotSteps: calls, active: 0 });
    expect(stats.slotUse).toBeCloseTo(calls / (4 * stats.steps), 12);
    for (const times of [stats.timeInQueue, stats.timeToFirstToken]) {
      expect(times.count).toBe(9);
      expect(times.counts.reduce((sum, count) => sum + count, 0)).toBe(9);
      expect(times.counts).toHaveLength(times.boundsMs.length + 1);
    }
    expect(stats.timeBetweenTokens.count).toBe(calls - 9);
    expect(stats.timeToFirstToken.sumMs).toBeGreaterThanOrEqual(stats.timeInQueue.sumMs);
    expect(stats.tokensPerSecond).toBeCloseTo(
      (1000 * tokens) / (stats.encodeMs + stats.decodeMs),
      6,
    );
  });
});
