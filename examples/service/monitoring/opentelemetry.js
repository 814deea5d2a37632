// The metrics of sessions as observable instruments of an OpenTelemetry meter. The API has no
// observable histogram: the buckets, sum and count of one are counters, as Prometheus knows them.
import { sessionMetrics } from '../speccascade.js';

/** `sessions`: one, or a list of `[session, attributes]`. */
export function observeSession(meter, sessions, attributes = {}) {
  const instruments = new Map();
  for (const { help: description, type, samples } of sessionMetrics(sessions, attributes)) {
    for (const { name } of samples) {
      if (instruments.has(name)) continue;
      const instrument =
        type === 'gauge'
          ? meter.createObservableGauge(name, { description })
          : meter.createObservableCounter(name, { description });
      instruments.set(name, instrument);
    }
  }
  const observe = (observer) => {
    for (const { samples } of sessionMetrics(sessions, attributes)) {
      for (const { name, labels, value } of samples) {
        observer.observe(instruments.get(name), value, labels);
      }
    }
  };
  meter.addBatchObservableCallback(observe, [...instruments.values()]);
  return () => meter.removeBatchObservableCallback(observe, [...instruments.values()]);
}
