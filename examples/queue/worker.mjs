// Decodes shards from the queue, one at a time, until it is told to stop (Ctrl-C, SIGTERM). Start
// as many as there are machines; all of them see the files of the jobs under the same paths.
//
//   node worker.mjs [--target DIR] [--draft DIR] [--max-batch 16] [--temperature 0] [--lock-ms 30000]
import { fileURLToPath } from 'node:url';
import { DelayedError, UnrecoverableError, Worker } from 'bullmq';
import { chain, createSession, runBatch, T5Model } from './speccascade.mjs';
import { commandLine, queueName, redis } from './shards.mjs';

const bundled = (name) => fileURLToPath(new URL(`../../models/${name}`, import.meta.url));
const { values } = commandLine('usage: node worker.mjs [options]', {
  target: { type: 'string', default: bundled('large') },
  draft: { type: 'string', default: bundled('base') },
  'max-batch': { type: 'string', default: '16' },
  'max-new-tokens': { type: 'string', default: '128' },
  'checkpoint-seconds': { type: 'string', default: '2' },
  temperature: { type: 'string', default: '0' },
  /** After so long without a sign of life a worker's shard is given to another. */
  'lock-ms': { type: 'string', default: '30000' },
});
const lockDuration = Number(values['lock-ms']);

const target = await T5Model.load(values.target);
const draft = await T5Model.load(values.draft);
const session = await createSession({
  target,
  draft: chain(draft, { length: 4 }),
  maxBatch: Number(values['max-batch']),
  maxNewTokens: Number(values['max-new-tokens']),
  sampling: { temperature: Number(values.temperature) },
});
const stop = new AbortController();

/** A shard that was begun elsewhere goes on from its last checkpoint. */
async function decode(job, token) {
  const { input, output, shard, seed, prefix } = job.data;
  try {
    return await runBatch({
      ...{ session, input, output, shard, seed, prefix },
      checkpointSeconds: Number(values['checkpoint-seconds']),
      resume: true,
      signal: stop.signal,
    });
  } catch (error) {
    if (error.code === 'ERR_ABORTED') {
      await job.moveToDelayed(Date.now(), token); // for whoever is next
      throw new DelayedError();
    }
    // A file that is not what it was stays so, however often it is tried.
    if (error.code === 'ERR_INPUT') throw new UnrecoverableError(`${error.code}: ${error.message}`);
    throw error;
  }
}

const worker = new Worker(queueName, decode, {
  connection: redis(),
  concurrency: 1, // a shard fills the session's batch by itself
  lockDuration,
  stalledInterval: lockDuration / 2,
  // A shard whose workers die goes on at its checkpoint, so that many deaths are no endless loop.
  maxStalledCount: 100,
});
worker.on('error', (error) => console.error(`worker: ${error.message}`));
worker.on('failed', (job, error) => console.error(`shard ${job?.id}: ${error.message}`));
worker.on('completed', (job) => console.log(`shard ${job.id} is done`));
for (const name of ['SIGINT', 'SIGTERM']) {
  process.once(name, () => stop.abort(new Error(name)));
}
console.log('ready');
await new Promise((resolve) => stop.signal.addEventListener('abort', resolve, { once: true }));
await worker.close();
await session.close();
