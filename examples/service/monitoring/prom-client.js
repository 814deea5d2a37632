// A session's metrics in a registry of prom-client, beside an application's own.
import { sessionMetrics } from '../speccascade.js';

export function registerSession(registry, session, labels = {}) {
  for (const { name, help, type } of sessionMetrics(session)) {
    const get = () => {
      const { samples } = sessionMetrics(session, labels).find((metric) => metric.name === name);
      const values = samples.map(({ name: metricName, ...sample }) => ({ metricName, ...sample }));
      return { name, help, type, values, aggregator: 'sum' };
    };
    // What a registry asks of a metric.
    registry.registerMetric({ name, get, reset() {} });
  }
}
