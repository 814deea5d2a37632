// The metrics of sessions in a registry of prom-client, beside an application's own.
import { sessionMetrics } from '../speccascade.js';

/** `sessions`: one, or a list of `[session, labels]`, registered together. */
export function registerSession(registry, sessions, labels = {}) {
  for (const { name, help, type } of sessionMetrics(sessions, labels)) {
    const get = () => {
      const { samples } = sessionMetrics(sessions, labels).find((metric) => metric.name === name);
      const values = samples.map(({ name: metricName, ...sample }) => ({ metricName, ...sample }));
      return { name, help, type, values, aggregator: 'sum' };
    };
    // What a registry asks of a metric.
    registry.registerMetric({ name, get, reset() {} });
  }
}
