// What the service answers, over real sockets.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { dog, endless, events, startServer } from '../testing/server.js';

describe('the service', () => {
  let server;
  before(async () => {
    server = await startServer({ MAX_BATCH: '2', MAX_QUEUE: '1', MAX_INPUTS: '3' });
  });
  after(() => server.stop());

  async function refused(response, status, code) {
    const { error } = await response.json();
    assert.deepEqual([response.status, error.code], [status, code]);
    return error;
  }

  /** Runs `body` while endless streams fill the given number of outputs. */
  async function whileStreaming(count, body) {
    const controller = new AbortController();
    const streams = Array.from({ length: count }, () =>
      server.post('/stream', endless, controller.signal),
    );
    for (const stream of streams) assert.equal((await stream).status, 200);
    await body();
    controller.abort();
    await server.until(({ active, queued }) => active + queued === 0);
  }

  it('decodes one input and a list of them, with the same results', async () => {
    const one = await server.post('/generate', { input: dog, options: { maxNewTokens: 20 } });
    assert.equal(one.status, 200);
    const result = await one.json();
    assert.match(result.text, /Hund/);
    const many = await server.post('/generate', {
      input: [dog, dog],
      options: { maxNewTokens: 20 },
    });
    const { results } = await many.json();
    assert.deepEqual(
      results.map(({ text }) => text),
      [result.text, result.text],
    );
  });

  it('takes the seed of a result, as it stands there, to give the result again', async () => {
    const sampled = { maxNewTokens: 20, temperature: 1 };
    const ask = async (options) =>
      (await server.post('/generate', { input: dog, options: { ...sampled, ...options } })).json();
    const first = await ask({ seed: '18446744073709551615' });
    assert.equal(first.seed, '18446744073709551615');
    const drawn = await ask({});
    assert.equal((await ask({ seed: drawn.seed })).text, drawn.text);
    for (const seed of ['x', '', '-1', '18446744073709551616']) {
      assert.equal((await ask({ seed })).error.code, 'ERR_INPUT');
    }
  });

  it('tells errors of routes that it does not have in the same form', async () => {
    await refused(await server.post('/nowhere', {}), 404, 'ERR_INPUT');
  });

  it('streams the same text as server-sent events', async () => {
    const whole = await (await server.post('/generate', { input: dog })).json();
    const response = await server.post('/stream', { input: dog });
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    const all = [];
    for await (const event of events(response)) all.push(event);
    const { event, data } = all.pop();
    assert.equal(event, 'done');
    assert.equal(data.text, whole.text);
    assert.equal(all.map(({ data: chunk }) => chunk.text).join(''), whole.text);
  });

  it('answers bad input with 400 and says what is wrong', async () => {
    const bad = [
      ['{', /JSON/],
      [{}, /input/],
      [{ input: 5 }, /input/],
      [{ input: [] }, /input/],
      [{ input: [dog, dog, dog, dog] }, /input/],
      [{ input: dog, beams: 4 }, /additional/],
      [{ input: dog, options: { signal: 1 } }, /additional/],
      [{ input: dog, options: { temperature: -1 } }, /temperature.*-1/],
      [{ input: dog, options: { maxNewTokens: 30_000 } }, /30000/],
      [{ input: 'dog '.repeat(2000) }, /256/],
      [{ input: dog, deadlineMs: 0 }, /deadlineMs/],
    ];
    for (const [body, message] of bad) {
      const error = await refused(await server.post('/generate', body), 400, 'ERR_INPUT');
      assert.match(error.message, message);
    }
    await refused(
      await server.post('/stream', { input: '', options: { topP: 7 } }),
      400,
      'ERR_INPUT',
    );
    await refused(await server.post('/generate', { input: 'x'.repeat(2 ** 19) }), 413, 'ERR_INPUT');
  });

  it('gives a bad input of a list an error in its place', async () => {
    const response = await server.post('/generate', { input: [dog, 'dog '.repeat(2000)] });
    const { results } = await response.json();
    assert.match(results[0].text, /Hund/);
    assert.equal(results[1].error.code, 'ERR_INPUT');
  });

  it('answers 503 with Retry-After where the queue is full, and recovers', async () => {
    await whileStreaming(2, async () => {
      const waiting = server.post('/generate', { input: dog, deadlineMs: 3000 });
      await server.until(({ queued }) => queued === 1);
      const response = await server.post('/generate', { input: dog });
      assert.match(response.headers.get('retry-after'), /^\d+$/);
      await refused(response, 503, 'ERR_QUEUE_FULL');
      await refused(await waiting, 504, 'DEADLINE');
    });
    assert.equal((await server.post('/generate', { input: dog })).status, 200);
  });

  it('ends a request at its deadline with 504 and what there is so far', async () => {
    const response = await server.post('/generate', { ...endless, deadlineMs: 300 });
    const error = await refused(response, 504, 'DEADLINE');
    assert.ok(error.partial.length > 0);
    const all = [];
    const stream = await server.post('/stream', { ...endless, deadlineMs: 300 });
    for await (const event of events(stream)) all.push(event);
    assert.equal(all.at(-1).event, 'error');
    assert.equal(all.at(-1).data.code, 'DEADLINE');
  });

  it('frees the slot of a client that has gone', async () => {
    await whileStreaming(1, () => server.until(({ active }) => active === 1));
    const controller = new AbortController();
    const gone = server.post('/generate', endless, controller.signal);
    await server.until(({ active }) => active === 1);
    controller.abort();
    await assert.rejects(gone);
    await server.until(({ active }) => active === 0);
  });

  it('tells its metrics in the text format', async () => {
    const response = await fetch(`${server.url}/metrics`);
    assert.match(response.headers.get('content-type'), /^text\/plain/);
    const text = await response.text();
    assert.match(text, /^# TYPE speccascade_tokens_total counter$/m);
    assert.match(text, /^speccascade_tokens_total [1-9]\d*$/m);
    assert.match(text, /^speccascade_time_to_first_token_seconds_bucket\{le="\+Inf"\} [1-9]\d*$/m);
    for (const line of text.trimEnd().split('\n')) {
      assert.match(line, /^(# (HELP|TYPE) |speccascade_[a-z_]+(\{[^}]+\})? [\d.e+-]+$)/);
    }
  });
});

describe('SIGTERM', () => {
  it('refuses newcomers, lets running requests finish, and ends with 0', async () => {
    const server = await startServer();
    try {
      const running = server.post('/generate', {
        input: dog,
        options: { minNewTokens: 6000, maxNewTokens: 6000 },
      });
      await server.until(({ active }) => active === 1);
      server.kill('SIGTERM');
      await server.until(({ status }) => status === 'stopping');
      const late = await server.post('/generate', { input: dog });
      assert.deepEqual([late.status, (await late.json()).error.code], [503, 'STOPPING']);
      const response = await running;
      assert.deepEqual([response.status, (await response.json()).tokens], [200, 6000]);
      assert.deepEqual(await server.ended, [0, null]);
    } finally {
      await server.stop();
    }
  });

  it('ends requests that outlast the grace period', async () => {
    const server = await startServer({ GRACE_MS: '100' });
    try {
      const running = server.post('/generate', endless);
      await server.until(({ active }) => active === 1);
      server.kill('SIGTERM');
      const response = await running;
      assert.deepEqual([response.status, (await response.json()).error.code], [503, 'STOPPING']);
      assert.deepEqual(await server.ended, [0, null]);
    } finally {
      await server.stop();
    }
  });
});

describe('settings', () => {
  it('that are wrong end the start', async () => {
    await assert.rejects(startServer({ MAX_BATCH: 'many' }), /did not start/);
  });
});
