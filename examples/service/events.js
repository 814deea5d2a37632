// Server-sent events: one per chunk, then one that says how it ended.
import { once } from 'node:events';
import { describe } from './errors.js';

function send(raw, event, data) {
  return raw.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

/**
 * Writes a stream of chunks to a raw response. What fails before the first chunk is thrown, so that
 * it can still become a status; later failures are an event of their own. A slow reader slows the
 * writing down, not the decoding: its chunks wait, and are as few as the request's tokens.
 */
export async function sendEvents(raw, chunks, signal, summary) {
  const iterator = chunks[Symbol.asyncIterator]();
  let next = await iterator.next();
  raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  try {
    for (; !next.done; next = await iterator.next()) {
      const { text, tokens, done, result } = next.value;
      if (!send(raw, 'chunk', { text, tokens: tokens.length })) {
        await once(raw, 'drain', { signal });
      }
      if (done) send(raw, 'done', summary(result));
    }
  } catch (error) {
    const failure = signal.aborted ? signal.reason : error;
    if (!raw.destroyed) send(raw, 'error', describe(failure).body.error);
  } finally {
    await iterator.return?.();
    raw.end();
  }
}
