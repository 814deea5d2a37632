/** Calls with a list of inputs: which input an error is of, aborts, and the event loop meanwhile. */
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  createSession,
  SpeccascadeError,
  Tokenizer,
  type Result,
  type T5Model,
} from '../lib/index.ts';
import { Backlog, Pace } from '../lib/session/pace.ts';
import { caught } from './support/caught.ts';
import { loadBundled, loadGolden } from './support/models.ts';

const ids = [5, 6, 1];
/** Runs to its limit: the tiny models' end token is suppressed. */
const long = { suppressTokens: [1] };

let target: T5Model;
beforeAll(async () => {
  target = await loadGolden('relu-tied');
});
afterAll(() => target.dispose());

/** One slot, places for two. */
const narrow = () => createSession({ target, maxBatch: 1, maxQueue: 2, maxNewTokens: 40 });

const codesOf = (all: (Result | SpeccascadeError)[]) =>
  all.map((one) => (one instanceof SpeccascadeError ? [one.code, one.index] : one.finishReason));

describe('a signal', () => {
  const aborted = 'ERR_ABORTED';

  it('that has fired already gives every input its error', async () => {
    await using session = await narrow();
    const signal = AbortSignal.abort('why');
    const error = await caught(session.generate([ids, ids], { signal }));
    expect(error).toMatchObject({ code: aborted, cause: 'why', index: 0 });
    expect(error.results).toEqual([undefined, undefined]);
    expect(error.partial).toMatchObject({ tokens: [], finishReason: 'aborted' });
    const options = { signal, onError: 'return', numSamples: 2 } as const;
    const all = await session.generate([ids, ids], options);
    expect(codesOf(all)).toEqual([0, 0, 1, 1].map((index) => [aborted, index]));
    const alone = await caught(session.generate(ids, { signal }));
    expect(alone).toMatchObject({ code: aborted, partial: { tokens: [] } });
    expect(alone).not.toHaveProperty('index', 0);
    expect(session.stats()).toMatchObject({ queued: 0, active: 0 });
  });

  it('that fires meanwhile gives each output that had not ended its index', async () => {
    await using session = await narrow();
    const abort = new AbortController();
    const first = session.generate(ids, { ...long, maxNewTokens: 1 });
    const inputs = Array.from({ length: 8 }, () => ids);
    const options = { ...long, signal: abort.signal, onError: 'return' } as const;
    const work = session.generate(inputs, options);
    await first;
    abort.abort('enough');
    const all = await work;
    const open = codesOf(all).filter((one) => one !== 'length');
    expect(open.length).toBeGreaterThan(4); // those that waited, at least
    const begin = inputs.length - open.length;
    expect(open).toEqual(open.map((_, i) => [aborted, begin + i]));
    expect(await session.generate(ids, { ...long, maxNewTokens: 2 })).toMatchObject({
      finishReason: 'length',
    });
  });
});

describe('a list', () => {
  it('with holes is refused, with the place', async () => {
    await using session = await narrow();
    const hole = await caught(session.generate([ids, , ids] as unknown as number[][])); // eslint-disable-line no-sparse-arrays
    expect(hole).toMatchObject({ code: 'ERR_INPUT', index: 1 });
    expect(hole.message).toBe(
      'inputs[1]: expected a text or a list of token ids, received undefined',
    );
    expect(hole.results).toEqual([undefined, undefined, undefined]);
    const empty = await caught(session.generate(new Array<string>(3)));
    expect(empty).toMatchObject({ code: 'ERR_INPUT', index: 0 });
  });

  it('that fails as a whole has a place for every output', async () => {
    await using session = await narrow();
    const bad = await caught(session.generate([ids, []], { numSamples: 3 }));
    expect(bad).toMatchObject({ code: 'ERR_INPUT', index: 1 });
    expect(bad.results).toEqual(new Array(6).fill(undefined));
  });

  it('that is short is queued before the call returns', async () => {
    await using session = await createSession({
      ...{ target, maxBatch: 1, maxQueue: 3, maxNewTokens: 4096 },
    });
    const running = session.stream(ids, { ...long, maxNewTokens: 4096 });
    await running.next();
    const list = session.generate([ids, ids], { ...long, maxNewTokens: 2 });
    expect(session.stats().queued).toBe(2);
    await running.return();
    await list;
  });
});

/** The longest time that the event loop could not turn while `work` went on. */
async function longestPause<T>(work: Promise<T>): Promise<{ pause: number; value: T }> {
  let pause = 0;
  let turn = performance.now();
  let done = false;
  const ended = work.finally(() => (done = true));
  while (!done) {
    await setImmediate();
    const now = performance.now();
    pause = Math.max(pause, now - turn);
    turn = now;
  }
  return { pause, value: await ended };
}

describe('a long list', () => {
  const count = 30_000;
  let model: T5Model;
  let texts: string[];
  beforeAll(async () => {
    model = await loadBundled('small');
    texts = Array.from({ length: count }, (_, i) => `a dog and ${i} other dogs run over a lawn`);
  });
  afterAll(() => model.dispose());

  it('leaves the event loop free while it is checked, and when it is aborted', async () => {
    // Outputs long enough that the queue grows faster than it is worked off.
    const slow = { maxNewTokens: 100, minNewTokens: 100, maxBatch: 1 };
    await using session = await createSession({ target: model, ...slow });
    const abort = new AbortController();
    const began = performance.now();
    const work = caught(session.generate(texts, { signal: abort.signal }));
    const call = performance.now() - began;
    // Tokenisation alone takes hundreds of milliseconds, machine and load permitting.
    const admitted = expect.poll(() => session.stats().queued, { timeout: 60_000, interval: 1 });
    const { pause } = await longestPause(admitted.toBeGreaterThan(20_000));
    const whole = performance.now() - began;
    expect(call).toBeLessThan(whole / 3);
    expect(pause).toBeLessThan(whole / 3);
    const ended = setImmediate().then(() => {
      abort.abort(new Error('late'));
      return work;
    });
    const { pause: ending, value } = await longestPause(ended);
    expect(value).toMatchObject({ code: 'ERR_ABORTED', cause: { message: 'late' } });
    expect(value.results).toHaveLength(count);
    expect(ending).toBeLessThan(whole / 3);
    expect(session.stats()).toMatchObject({ queued: 0, active: 0 });
  });

  it('starts nothing before all of it has been checked, and names the bad input', async () => {
    await using session = await createSession({ target: model, maxNewTokens: 2 });
    const bad = count - 5;
    const inputs = texts.with(bad, ' ');
    const work = caught(session.generate(inputs));
    inputs[bad] = 'changed too late'; // the list is the one that the call was made with
    const error = await work;
    expect(error).toMatchObject({ code: 'ERR_INPUT', index: bad });
    expect(error.message).toContain(`inputs[${bad}]`);
    expect(session.stats()).toMatchObject({ queued: 0, active: 0, outputs: 0 });
  });

  it('can be aborted, or its session closed, while it is checked', async () => {
    const session = await createSession({ target: model, maxNewTokens: 2 });
    const abort = new AbortController();
    const work = caught(session.generate(texts, { signal: abort.signal }));
    abort.abort('no more');
    expect(await work).toMatchObject({ code: 'ERR_ABORTED', cause: 'no more', index: 0 });
    const other = caught(session.generate(texts));
    await session.close();
    expect(await other).toMatchObject({ code: 'ERR_ABORTED', index: 0 });
  });

  it('of ids has those that the call was made with', async () => {
    await using session = await createSession({ target: model, maxNewTokens: 2 });
    const input = model.tokenizer!.encode(texts[0]!);
    const lists = Array.from({ length: 3000 }, (_, i) =>
      i % 2 === 0 ? Int32Array.from(input) : [...input],
    );
    const work = session.generate(lists);
    for (const list of lists) list.fill(5);
    const { tokens } = await session.generate(Int32Array.from(input));
    expect((await work).filter((one) => String(one.tokens) !== String(tokens))).toEqual([]);
  });

  it('has the results that its inputs have in short lists', async () => {
    await using session = await createSession({ target: model, maxNewTokens: 6 });
    const few = texts.slice(0, 2000);
    const options = { temperature: 1, seed: 5 };
    const [all, start] = [
      await session.generate(few, options),
      await session.generate(few.slice(0, 3), options),
    ];
    expect(all.slice(0, 3).map(({ tokens }) => tokens)).toEqual(start.map(({ tokens }) => tokens));
    const last = all.at(-1)!;
    const alone = await session.generate(few.at(-1)!, { ...options, seed: last.seed });
    expect(alone.tokens).toEqual(last.tokens);
  });
});

it('a call of very many samples leaves the event loop free while it is aborted', async () => {
  const session = await createSession({ target, maxBatch: 2, maxNewTokens: 2000 });
  const abort = new AbortController();
  const numSamples = 30_000;
  const work = caught(session.generate(ids, { ...long, numSamples, signal: abort.signal }));
  await expect.poll(() => session.stats().active, { interval: 1 }).toBe(2);
  const before = performance.now();
  const ended = setImmediate().then(async () => {
    abort.abort('late');
    const error = await work; // with the first of them
    await session.close(); // with the last
    return error;
  });
  const { pause, value } = await longestPause(ended);
  expect(value).toMatchObject({ code: 'ERR_ABORTED', cause: 'late' });
  expect(pause).toBeLessThan((performance.now() - before) / 2);
  expect(session.stats()).toMatchObject({ queued: 0, active: 0, outputs: numSamples });
});

it('waits in the queue from the call on', async () => {
  const model = await loadBundled('small');
  await using session = await createSession({ target: model, maxBatch: 2, maxNewTokens: 1 });
  const encode = vi.spyOn(model.tokenizer!, 'encode');
  const begun: number[] = [];
  encode.mockImplementation((...text) => {
    begun.push(performance.now());
    return Tokenizer.prototype.encode.apply(model.tokenizer, text);
  });
  const texts = Array.from({ length: 300 }, (_, i) => `${i} dogs ${'run over a lawn '.repeat(20)}`);
  await session.generate(texts);
  // From the first input on all have waited, until the last one had been checked.
  const checking = begun.at(-1)! - begun[0]!;
  const { boundsMs, counts } = session.stats().timeInQueue;
  const shorter = boundsMs.filter((bound) => bound <= checking);
  expect(shorter.length).toBeGreaterThan(0);
  expect(shorter.map((_, i) => counts[i])).toEqual(shorter.map(() => 0));
  await model.dispose();
});

describe('work in portions', () => {
  const busy = (ms: number): void => {
    for (const end = performance.now() + ms; performance.now() < end;);
  };

  it('is over after a while, until it has rested', async () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000);
    try {
      const pace = new Pace();
      expect(pace.isOver).toBe(false);
      now.mockReturnValue(1012);
      expect(pace.isOver).toBe(true);
      await pace.rest();
      expect(pace.isOver).toBe(false);
    } finally {
      now.mockRestore();
    }
  });

  it('does what is asked for in order, giving way to others', async () => {
    const backlog = new Backlog();
    const done: (number | string)[] = [];
    const task = (i: number) => (): void => {
      busy(4);
      done.push(i);
      if (i === 1) backlog.add(() => done.push('late'));
    };
    for (let i = 0; i < 6; i++) backlog.add(task(i));
    expect(done).toEqual([]);
    void setImmediate().then(() => done.push('other'));
    await backlog.idle();
    expect(done.filter((one) => one !== 'other')).toEqual([0, 1, 2, 3, 4, 5, 'late']);
    expect(done.indexOf('other')).toBeLessThan(5);
    backlog.add(() => done.push('again'));
    await backlog.idle();
    expect(done.at(-1)).toBe('again');
  });
});
