// Starts the service as a process of its own, for tests over real sockets.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { TextDecoderStream } from 'node:stream/web';
import { setTimeout as wait } from 'node:timers/promises';

const example = path.resolve(import.meta.dirname, '..');
const model = path.resolve(example, '..', '..', 'models', 'small');
export const dog = 'translate English to German: A dog runs.';
/** A request that goes on until something ends it, or for some seconds. */
export const endless = { input: dog, options: { minNewTokens: 20_000 } };

export async function startServer(settings = {}) {
  const child = spawn(process.execPath, ['server.js'], {
    cwd: example,
    env: {
      ...{ ...process.env, MODEL: model, DRAFT_MODEL: model, PORT: '0', MAX_NEW_TOKENS: '20000' },
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([once(lines, 'line'), ended]);
  const url = /^listening on (\S+)$/.exec(first[0])?.[1];
  if (url === undefined) throw new Error(`the service did not start: ${first}`);
  return {
    url,
    kill: (signal) => child.kill(signal),
    /** [exit code, signal] */
    ended,
    post: (route, body, signal) =>
      fetch(`${url}${route}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        signal,
      }),
    health: async () => (await fetch(`${url}/health`)).json(),
    /** Waits until the health report satisfies the condition; throws after ten seconds. */
    async until(condition) {
      for (let i = 0; i < 1000; i += 1) {
        if (condition(await this.health())) return;
        await wait(10);
      }
      throw new Error(`still not so: ${condition}`);
    },
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** The events of a response: [{ event, data }]. */
export async function* events(response) {
  let text = '';
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    text += part;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const [event, data] = text.slice(0, end).split('\n');
      yield { event: event.slice('event: '.length), data: JSON.parse(data.slice('data: '.length)) };
    }
  }
}
