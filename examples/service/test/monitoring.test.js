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
before(async () => {
  const folder = path.resolve(import.meta.dirname, '..', '..', '..', 'models', 'small');
  session = await createSession({ target: await T5Model.load(folder), maxNewTokens: 8 });
  await session.generate('translate English to German: A dog runs.');
});
after(() => session.close());

it("prom-client writes what the service's own text says", async () => {
  const registry = new Registry();
  registerSession(registry, session, { model: 'tiny "1"' });
  const theirs = (await registry.metrics()).trim().split('\n').filter(Boolean);
  const ours = prometheusText(sessionMetrics(session, { model: 'tiny "1"' }))
    .trim()
    .split('\n');
  const samples = (lines) => lines.filter((line) => !line.startsWith('# HELP')).sort();
  assert.deepEqual(samples(theirs), samples(ours));
});

it('OpenTelemetry collects every value', async () => {
  class Reader extends MetricReader {
    async onShutdown() {}
    async onForceFlush() {}
  }
  const reader = new Reader();
  const provider = new MeterProvider({ readers: [reader] });
  const unobserve = observeSession(provider.getMeter('test'), session, { model: 'tiny' });
  const { resourceMetrics, errors } = await reader.collect();
  assert.deepEqual(errors, []);
  const points = resourceMetrics.scopeMetrics[0].metrics.flatMap(({ descriptor, dataPoints }) =>
    dataPoints.map(({ attributes, value }) => ({
      name: descriptor.name,
      labels: attributes,
      value,
    })),
  );
  const expected = sessionMetrics(session, { model: 'tiny' }).flatMap(({ samples }) => samples);
  const byName = (a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b));
  assert.deepEqual(points.sort(byName), expected.sort(byName));
  unobserve();
  await provider.shutdown();
});
