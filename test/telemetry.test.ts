/** Metrics of a session in neutral form. */
import { describe, expect, it } from 'vitest';
import { chain, createSession, sessionMetrics, type Metric } from '../lib/index.ts';
import { loadGolden } from './support/models.ts';

const inputs = [
  [5, 6, 1],
  [7, 1],
  [8, 9, 10, 1],
];

const idle = { stats: () => ({}) };

function value(metrics: Metric[], name: string): number {
  return metrics.flatMap(({ samples }) => samples).find((sample) => sample.name === name)!.value;
}

describe('sessionMetrics', () => {
  it.each([
    [{}, {}, 'session: expected a DecodeSession, received an object (Object)'],
    [undefined, {}, 'session: expected a DecodeSession, received undefined'],
    [idle, 'x', 'labels: expected an object of options, received "x"'],
    [idle, { port: 8080 }, 'labels.port: expected a text, received 8080'],
    [idle, { le: 'x' }, 'labels: expected names of letters, digits and _, other than le'],
    [[idle], {}, 'sessions[0]: expected a list of a session and its labels, received an object'],
    [[[{}, {}]], {}, 'sessions[0][0]: expected a DecodeSession, received an object (Object)'],
    [[[idle]], {}, 'sessions[0][1]: expected an object of options, received undefined'],
    [
      [
        [idle, { model: 'a' }],
        [idle, {}],
      ],
      { model: 'a' },
      'sessions[1]: expected labels other than those of sessions[0], received "[[\\"model',
    ],
    [
      [
        [idle, { model: 'a', node: 'b' }],
        [idle, { node: 'b', model: 'a' }],
      ],
      {},
      'sessions[1]: expected labels other than those of sessions[0], received',
    ],
  ])('refuses %j with labels %j', (session, labels, message) => {
    const call = (): unknown => sessionMetrics(session as never, labels as never);
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_INPUT' }) as Error);
    expect(call).toThrow(message);
  });

  it('counts what the session did', async () => {
    await using target = await loadGolden('relu-tied');
    await using session = await createSession({
      target,
      draft: chain(target, { length: 3 }),
      maxBatch: 2,
      maxNewTokens: 12,
    });
    const results = await session.generate(inputs);
    const metrics = sessionMetrics(session);
    const sum = (key: 'proposed' | 'tested' | 'accepted'): number =>
      results.reduce((total, { stats }) => total + stats[key], 0);
    expect(value(metrics, 'speccascade_outputs_total')).toBe(3);
    expect(value(metrics, 'speccascade_tokens_total')).toBe(
      results.reduce((total, { tokens }) => total + tokens.length, 0),
    );
    expect(value(metrics, 'speccascade_draft_tokens_total')).toBe(sum('proposed'));
    expect(value(metrics, 'speccascade_draft_tested_total')).toBe(sum('tested'));
    expect(value(metrics, 'speccascade_draft_accepted_total')).toBe(sum('accepted'));
    expect(value(metrics, 'speccascade_slots')).toBe(2);
    expect(value(metrics, 'speccascade_time_to_first_token_seconds_count')).toBe(3);
  });

  it('labels every sample and accumulates buckets', async () => {
    await using target = await loadGolden('relu-tied');
    await using session = await createSession({ target, maxNewTokens: 8 });
    await session.generate(inputs);
    const metrics = sessionMetrics(session, { model: 'tiny' });
    const names = metrics.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { name, type, samples } of metrics) {
      expect(name).toMatch(/^speccascade_[a-z_]+$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      for (const { labels } of samples) expect(labels.model).toBe('tiny');
      if (type !== 'histogram') continue;
      const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
      const counts = buckets.map((bucket) => bucket.value);
      expect(counts).toEqual([...counts].sort((a, b) => a - b));
      expect(buckets.at(-1)!.labels.le).toBe('+Inf');
      expect(counts.at(-1)).toBe(samples.at(-1)!.value);
    }
  });

  it('puts the samples of several sessions into one metric', async () => {
    await using target = await loadGolden('relu-tied');
    await using one = await createSession({ target, maxBatch: 2 });
    await using two = await createSession({ target, maxBatch: 3 });
    const sessions = [
      [one, { model: 'one' }],
      [two, { model: 'two', node: 'b' }],
    ] as const;
    const metrics = sessionMetrics(sessions, { node: 'a' });
    expect(metrics.map(({ name }) => name)).toEqual(sessionMetrics(one).map(({ name }) => name));
    expect(metrics.find(({ name }) => name === 'speccascade_slots')!.samples).toEqual([
      { name: 'speccascade_slots', labels: { node: 'a', model: 'one' }, value: 2 },
      { name: 'speccascade_slots', labels: { node: 'b', model: 'two' }, value: 3 },
    ]);
    expect(sessionMetrics([])).toEqual([]);
  });
});
