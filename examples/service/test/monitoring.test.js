// The metrics of a session through prom-client and OpenTelemetry.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { Registry } from 'prom-client';
import { createSession, sessionMetrics, T5Model } from '../speccascade.js';
import { observeSession } from '../monitoring/opentelemetry.js';
import { registerSession } from '../monitoring/prom-client.js';
import { prometheusText } from '../prometheus.js';

let session;
let sessions;
before(async () => {
  const folder = path.resolve(import.meta.dirname, '..', '..', '..', 'models', 'small');
  const target = await T5Model.load(folder);
  session = await createSession({ target, maxNewTokens: 8 });
  await session.generate('translate English to German: A dog runs.');
  sessions = [
    [session, { model: 'tiny "1"' }],
    [await createSession({ target, maxBatch: 2 }), { model: 'tiny "2"' }],
  ];
});
after(() => Promise.all(sessions.map(([one]) => one.close())));

async function comparePrometheus(...args) {
  const registry = new Registry();
  registerSession(registry, ...args);
  const theirs = (await registry.metrics()).trim().split('\n').filter(Boolean);
  const ours = prometheusText(sessionMetrics(...args))
    .trim()
    .split('\n');
  const samples = (lines) => lines.filter((line) => !line.startsWith('# HELP')).sort();
  assert.deepEqual(samples(theirs), samples(ours));
  return ours;
}

it("prom-client writes what the service's own text says", () =>
  comparePrometheus(session, { model: 'tiny "1"' }));

it('prom-client writes each metric of several sessions once', async () => {
  const lines = await comparePrometheus(sessions);
  const types = lines.filter((line) => line.startsWith('# TYPE'));
  assert.equal(new Set(types).size, types.length);
  assert.equal(lines.filter((line) => line.startsWith('speccascade_slots{')).length, 2);
});

async function compareOpenTelemetry(...args) {
  class Reader extends MetricReader {
    async onShutdown() {}
    async onForceFlush() {}
  }
  const reader = new Reader();
  const provider = new MeterProvider({ readers: [reader] });
  const unobserve = observeSession(provider.getMeter('test'), ...args);
  const { resourceMetrics, errors } = await reader.collect();
  assert.deepEqual(errors, []);
  const points = resourceMetrics.scopeMetrics[0].metrics.flatMap(({ descriptor, dataPoints }) =>
    dataPoints.map(({ attributes, value }) => ({
      name: descriptor.name,
      labels: attributes,
      value,
    })),
  );
  const expected = sessionMetrics(...args).flatMap(({ samples }) => samples);
  const byName = (a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b));
  assert.deepEqual(points.sort(byName), expected.sort(byName));
  unobserve();
  await provider.shutdown();
}

it('OpenTelemetry collects every value', () => compareOpenTelemetry(session, { model: 'tiny' }));

it('OpenTelemetry collects every value of several sessions', () => compareOpenTelemetry(sessions));
