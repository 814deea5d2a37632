/** What callers are told of requests that failed while they were decoded. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  chain,
  createSession,
  SpeccascadeError,
  type DecodeSession,
  type SessionOptions,
  type T5Model,
} from '../lib/index.ts';
import { toldTo } from '../lib/session/failures.ts';
import { caught } from './support/caught.ts';
import { loadGolden } from './support/models.ts';
import { loadWithNaN } from './support/nan-model.ts';

const good = [5, 6, 1];
const bad = [7, 6, 1];

let sound: T5Model;
let broken: T5Model;
beforeAll(async () => {
  [sound, broken] = await Promise.all([loadGolden('gated-untied'), loadWithNaN(7)]);
});
afterAll(async () => {
  await Promise.all([sound.dispose(), broken.dispose()]);
});

const streamed = async (session: DecodeSession, input: number[]): Promise<void> => {
  for await (const chunk of session.stream(input)) expect(chunk.tokens).toBeDefined();
};

describe('logits that are not finite', () => {
  const cascade = { strategy: 'sequence-cascade', cascade: { threshold: Infinity } } as const;
  const sessions: [string, string, () => SessionOptions][] = [
    ['a target', 'target', () => ({ target: broken })],
    ['a drafter', 'drafter', () => ({ target: sound, draft: chain(broken, { length: 2 }) })],
    [
      'the small model of a sequence cascade',
      'drafter',
      () => ({ target: sound, draft: chain(broken, { length: 2 }), ...cascade }),
    ],
    [
      'the large one',
      'target',
      () => ({ target: broken, draft: chain(sound, { length: 2 }), ...cascade }),
    ],
  ];
  it.each(sessions)('of %s name it and the input', async (_, model, options) => {
    await using session = await createSession({ ...options(), maxNewTokens: 4, maxBatch: 2 });
    await session.generate([good, good]); // so that the engine's own numbers are no indices
    const message = `the ${model} gave logits that are not finite`;
    for (const alone of [session.generate(bad), streamed(session, bad)]) {
      const error = await caught(alone);
      expect(error).toMatchObject({ code: 'ERR_NUMERIC', message });
      expect(error.stack).toContain(message);
    }
    const told = { code: 'ERR_NUMERIC', index: 2, message: `${message} (inputs[2])` };
    const inputs = [good, good, bad, good];
    expect(await caught(session.generate(inputs))).toMatchObject(told);
    const returned = await session.generate(inputs, { onError: 'return', numSamples: 2 });
    expect(returned.slice(4, 6)).toMatchObject([told, told]);
    expect(returned.filter((one) => one instanceof Error)).toHaveLength(2);
  });

  it('of the target fail a kept answer that it was to score', async () => {
    await using session = await createSession({
      ...{ target: broken, draft: chain(sound, { length: 2 }), maxNewTokens: 4 },
      ...{ strategy: 'sequence-cascade', cascade: { threshold: -Infinity } },
    });
    expect((await session.generate(bad)).stats.deferralRate).toBe(0);
    expect(await caught(session.generate(bad, { logprobs: true }))).toMatchObject({
      ...{ code: 'ERR_NUMERIC', message: 'the target gave logits that are not finite' },
    });
    expect((await session.generate(good, { logprobs: true })).logprobs).toBeDefined();
  });
});

it.each(['ERR_DEVICE', 'ERR_OUT_OF_MEMORY'] as const)(
  '%s is no affair of one input and keeps its message',
  (code) => {
    const error = new SpeccascadeError(code, 'the target does not fit');
    expect(toldTo({ place: ' (inputs[2])', model: 'drafter' }, error)).toBe(error);
    expect(error.message).toBe('the target does not fit');
  },
);

it('a request that leaves no token is told by which options', async () => {
  const { vocabSize, eosTokenIds } = sound.config;
  const suppressTokens = Int32Array.from({ length: vocabSize }, (_, id) => id).filter(
    (id) => !eosTokenIds.includes(id),
  );
  await using session = await createSession({ target: sound, maxNewTokens: 4 });
  const options = { suppressTokens, minNewTokens: 2 };
  expect(await caught(session.generate([good], options))).toMatchObject({
    code: 'ERR_INPUT',
    message: 'suppressTokens and minNewTokens: every token is suppressed (inputs[0])',
  });
});
