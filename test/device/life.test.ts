/** What sessions on the device do besides decoding: streams, aborts, limits, neighbours, ends. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chain, createSession, T5Model } from '../../lib/index.ts';
import { devices } from '../../lib/lowlevel.ts';
import { goldenFolder } from '../support/golden-files.ts';
import { device, emulated, loadGolden } from '../support/models.ts';

const input = [17, 4, 90, 33, 1];
const common = { maxNewTokens: 8, maxInputTokens: 16, maxBatch: 2 };
const sampled = { temperature: 1, seed: 11 };

describe(`life on ${device}`, () => {
  let target: T5Model;
  let drafter: T5Model;
  let alone: number[];

  beforeAll(async () => {
    target = await loadGolden('gated-untied');
    drafter = await loadGolden('relu-tied');
    await using session = await createSession({ ...common, target });
    alone = (await session.generate(input, sampled)).tokens;
    expect(alone).toHaveLength(8);
  });
  afterAll(async () => {
    await target.dispose();
    await drafter.dispose();
  });

  it('says what it is', () => {
    const found = devices().find(({ kind }) => kind === 'cuda');
    expect(found?.name.length).toBeGreaterThan(0);
    expect(found?.name === 'emulated device').toBe(emulated);
    expect(found?.note).toBe(emulated ? 'emulated on the CPU, for tests' : undefined);
    expect(target.device).toBe('cuda:0');
  });

  it('is sent weights part by part as they are read', async () => {
    const last = { download: 0, read: 0, upload: 0 };
    let all = 0;
    await using model = await T5Model.load(goldenFolder('relu-tied'), {
      onProgress({ phase, done, total }) {
        expect(phase).not.toBe('download');
        expect(done).toBeGreaterThanOrEqual(last[phase]);
        last[phase] = done;
        expect(last.upload).toBeLessThanOrEqual(last.read);
        all = total;
      },
    });
    expect(last).toEqual({ download: 0, read: all, upload: all });
    expect(model.device).toBe('cuda:0');
  });

  it('is where models are computed by default', async () => {
    await using model = await T5Model.load(goldenFolder('relu-tied'));
    expect(model.device).toBe('cuda:0');
    expect(model.dtype).toBe('bf16');
  });

  it('streams what generate gives', async () => {
    await using session = await createSession({ ...common, target });
    const chunks = [];
    for await (const chunk of session.stream(input, sampled)) chunks.push(chunk);
    expect(chunks.length).toBeGreaterThan(2);
    expect(chunks.flatMap(({ tokens }) => tokens)).toEqual(alone);
    expect(chunks.at(-1)?.result?.tokens).toEqual(alone);
  });

  it('aborts within a step and leaves the neighbour as it is', async () => {
    await using session = await createSession({ ...common, target, maxNewTokens: 4000 });
    const controller = new AbortController();
    const endless = { minNewTokens: 4000, signal: controller.signal };
    const doomed = session.generate(input, endless).catch((error: unknown) => error);
    const kept = session.generate(input, { ...sampled, maxNewTokens: 8 });
    for await (const { tokens } of session.stream(input, { maxNewTokens: 1 })) {
      if (tokens.length > 0) controller.abort();
    }
    expect(await doomed).toMatchObject({ code: 'ERR_ABORTED' });
    expect((await doomed) as { partial: unknown }).toHaveProperty(
      'partial.finishReason',
      'aborted',
    );
    expect((await kept).tokens).toEqual(alone);
  });

  it('decodes in two sessions at once', async () => {
    await using plain = await createSession({ ...common, target });
    const draft = chain(drafter, { length: 2 });
    await using drafted = await createSession({ ...common, target, draft });
    const greedy = await plain.generate(input);
    const [first, second] = await Promise.all([
      plain.generate([input, input], sampled),
      drafted.generate([input, input]),
    ]);
    expect(first[0]!.tokens).toEqual(alone);
    expect(second.map(({ tokens }) => tokens)).toEqual([greedy.tokens, greedy.tokens]);
  });

  it('outlives its disposed model, and ends what is under way when it closes', async () => {
    const model = await loadGolden('gated-untied');
    const session = await createSession({ ...common, target: model, maxNewTokens: 4000 });
    const doomed = session.generate(input, { minNewTokens: 4000 }).catch((error: unknown) => error);
    for await (const { tokens } of session.stream(input, { ...sampled, maxNewTokens: 8 })) {
      if (tokens.length > 0) await model.dispose();
    }
    const { tokens } = await session.generate(input, { ...sampled, maxNewTokens: 8 });
    expect(tokens).toEqual(alone);
    await session.close();
    expect(await doomed).toMatchObject({ code: 'ERR_ABORTED' });
    await expect(session.generate(input)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  const fits = emulated ? '' : ' (skipped: written for 1 GiB)';
  it.skipIf(!emulated)(`refuses what does not fit, and works on${fits}`, async () => {
    await using session = await createSession({ ...common, target });
    const huge = { ...common, target, maxBatch: 4096, maxNewTokens: 4000 };
    await expect(createSession(huge)).rejects.toMatchObject({
      code: 'ERR_OUT_OF_MEMORY',
      message: expect.stringMatching(/cuda:0: needed \d+ bytes, free \d+/) as string,
    });
    await expect(T5Model.load('random:t5-large', { device: 'cuda' })).rejects.toMatchObject({
      code: 'ERR_OUT_OF_MEMORY',
    });
    expect((await session.generate(input, sampled)).tokens).toEqual(alone);
  });

  it('names a device that is not there, and a drafter on another one', async () => {
    const count = devices().filter(({ kind }) => kind === 'cuda').length;
    const absent = `cuda:${count}` as const;
    await expect(loadGolden('umt5', { device: absent })).rejects.toMatchObject({
      code: 'ERR_DEVICE',
      message: expect.stringContaining(absent) as string,
    });
    await using elsewhere = await loadGolden('relu-tied', { device: 'cpu' });
    const draft = chain(elsewhere, { length: 2 });
    await expect(createSession({ ...common, target, draft })).rejects.toMatchObject({
      code: 'ERR_DEVICE',
    });
  });
});
