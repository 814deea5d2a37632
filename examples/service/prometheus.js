// Metrics in Prometheus' text format.

const escape = (text) =>
  text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');

function labelText(labels) {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escape(value)}"`);
  return pairs.length > 0 ? `{${pairs.join(',')}}` : '';
}

/** `metrics`: as of sessionMetrics(). */
export function prometheusText(metrics) {
  const lines = metrics.flatMap(({ name, help, type, samples }) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map((sample) => `${sample.name}${labelText(sample.labels)} ${sample.value}`),
  ]);
  return `${lines.join('\n')}\n`;
}
