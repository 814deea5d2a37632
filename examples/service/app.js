// The routes.
import Fastify from 'fastify';
import { sessionMetrics } from './speccascade.js';
import { describe } from './errors.js';
import { sendEvents } from './events.js';
import { prometheusText } from './prometheus.js';
import { Requests } from './requests.js';
import { bodySchema } from './schema.js';

function summary({ text, tokens, finishReason, seed, stats }) {
  const { targetCalls, acceptanceRate } = stats;
  return {
    text,
    tokens: tokens.length,
    finishReason,
    seed: String(seed),
    targetCalls,
    acceptanceRate,
  };
}

/** What a session takes of a body's options. */
function sessionOptions({ seed, ...options } = {}) {
  return { ...options, seed: typeof seed === 'string' ? BigInt(seed) : seed };
}

/** Seconds until the queue of now is worked off, by what outputs have taken so far. */
function retryAfter(session) {
  const { queued, outputs, encodeMs, decodeMs } = session.stats();
  const seconds = outputs > 0 ? (queued * (encodeMs + decodeMs)) / outputs / 1000 : 1;
  return Math.min(60, Math.max(1, Math.ceil(seconds)));
}

/** The application over a session; `requests.stop()` and `app.close()` end it. */
export function buildApp(session, settings) {
  const { maxBatch, maxQueue, maxBodyBytes, deadlineMs, model } = settings;
  const app = Fastify({
    bodyLimit: maxBodyBytes,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  });
  const requests = new Requests(maxBatch + maxQueue, () => retryAfter(session));

  app.setErrorHandler((error, request, reply) => {
    const { status, retryAfter: seconds, body } = describe(error);
    if (status === 500) console.error(error);
    if (seconds !== undefined) reply.header('retry-after', seconds);
    return reply.code(status).send(body);
  });

  app.setNotFoundHandler(({ method, url }, reply) => {
    const message = `${method} ${url}: no such route`;
    return reply.code(404).send({ error: { code: 'ERR_INPUT', message } });
  });

  app.post('/generate', { schema: bodySchema(settings, { many: true }) }, (request, reply) => {
    const { input, deadlineMs: deadline = deadlineMs } = request.body;
    const options = sessionOptions(request.body.options);
    const count = Array.isArray(input) ? input.length : 1;
    return requests.run(count, deadline, reply.raw, async (signal) => {
      if (!Array.isArray(input))
        return summary(await session.generate(input, { ...options, signal }));
      const outcomes = await session.generate(input, { ...options, signal, onError: 'return' });
      const results = outcomes.map((outcome) =>
        outcome instanceof Error ? describe(outcome).body : summary(outcome),
      );
      return { results };
    });
  });

  app.post('/stream', { schema: bodySchema(settings, { many: false }) }, async (request, reply) => {
    const { input, deadlineMs: deadline = deadlineMs } = request.body;
    const options = sessionOptions(request.body.options);
    await requests.run(1, deadline, reply.raw, async (signal) => {
      const chunks = session.stream(input, { ...options, signal });
      await sendEvents(reply.raw, chunks, signal, summary);
    });
    reply.hijack();
  });

  app.get('/health', (request, reply) => {
    const { queued, active } = session.stats();
    const status = requests.stopping ? 'stopping' : 'ok';
    return reply.code(requests.stopping ? 503 : 200).send({ status, model, queued, active });
  });

  app.get('/metrics', (request, reply) => {
    reply.type('text/plain; version=0.0.4');
    return prometheusText(sessionMetrics(session));
  });

  return { app, requests };
}
