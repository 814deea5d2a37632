// A job over two workers, which are killed in the middle of their shards: nothing is lost, nothing
// is there twice, and the output has the bytes of a single process.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { chain, createSession, runBatch, T5Model } from './speccascade.mjs';
import { queueName, redis, shardFile } from './shards.mjs';

const here = import.meta.dirname;
const root = new URL('../../', import.meta.url);
const model = (name) => fileURLToPath(new URL(`models/${name}`, root));
const shards = 3;
const children = [];
let folder;

const hasRedis = spawnSync('redis-server', ['--version']).status === 0;
const reason = 'redis-server is not installed';
if (!hasRedis) console.log(`skipped: ${reason}`);

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'speccascade-queue-'));
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** A process that has said it is ready. */
async function started(program, args, ready) {
  const child = spawn(program, args, { cwd: here, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  child.text = '';
  await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`${program} ended with ${code}: ${child.text}`)));
    child.stdout.on('data', (chunk) => {
      child.text += chunk;
      if (child.text.includes(ready)) resolve();
    });
  });
  return child;
}

const startRedis = (port) =>
  started(
    'redis-server',
    ['--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', folder],
    'Ready to accept connections',
  );

const startWorker = () =>
  started(
    process.execPath,
    [
      ...['worker.mjs', '--target', model('base'), '--draft', model('small')],
      ...['--temperature', '0.8', '--max-new-tokens', '24', '--lock-ms', '2000'],
      ...['--checkpoint-seconds', '0.1'],
    ],
    'ready',
  );

async function submit(input, output) {
  const args = ['submit.mjs', '--shards', shards, '--seed', '7', input, output];
  const child = spawn(process.execPath, args, { cwd: here, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  const [code] = await once(child, 'close');
  return { code, text };
}

/** What one process makes of the same records. */
async function single(input, output) {
  const target = await T5Model.load(model('base'));
  const draft = chain(await T5Model.load(model('small')), { length: 4 });
  const sampling = { temperature: 0.8 };
  const session = await createSession({ target, draft, sampling, maxNewTokens: 24, maxBatch: 8 });
  await runBatch({ session, input, output, seed: 7, prefix: 'translate English to German: ' });
  await session.close();
  return readFile(output, 'utf8');
}

/** Kills the workers as soon as one is in the middle of a shard; which shard. */
async function killOne(workers, output) {
  for (;;) {
    for (let index = 1; index <= shards; index += 1) {
      const checkpoint = `${shardFile(output, index, shards)}.job.json`;
      const text = await readFile(checkpoint, 'utf8').catch(() => null);
      if (text === null) continue;
      const { complete, done } = JSON.parse(text);
      if (complete || done.records < 20) continue;
      for (const worker of workers) worker.kill('SIGKILL');
      return index;
    }
    await wait(10);
  }
}

test(
  'workers are killed and nothing is lost',
  { skip: !hasRedis && reason, timeout: 120_000 },
  async (t) => {
    const port = await freePort();
    process.env.REDIS_URL = `redis://127.0.0.1:${port}`;
    await startRedis(port);
    const captions = await readFile(new URL('examples/captions/test_2016.en', root), 'utf8');
    const texts = captions.split('\n').filter(Boolean);
    const records = texts.map((text, i) => ({ id: `r${i}`, text: i % 100 === 99 ? '' : text }));
    const input = path.join(folder, 'in.jsonl');
    await writeFile(input, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    const output = path.join(folder, 'out.jsonl');
    const queue = new Queue(queueName, { connection: redis() });
    t.after(() => queue.close());

    const workers = [await startWorker(), await startWorker()];
    const submitted = submit(input, output);
    const killed = await killOne(workers, output);
    const stopped = await startWorker();
    while (!stopped.text.includes('is done')) await wait(10);
    stopped.kill('SIGTERM'); // at its next shard by now, which it gives back
    assert.deepEqual(await once(stopped, 'exit'), [0, null]);
    await startWorker();
    const { code, text } = await submitted;
    assert.equal(code, 1, 'some records have failed, as they should');
    assert.match(text, /^1000 records, 10 failed, \d+ tokens\n$/);
    const merged = await readFile(output, 'utf8');
    assert.equal(merged, await single(input, path.join(folder, 'single.jsonl')));

    const jobs = await queue.getCompleted();
    assert.equal(jobs.length, shards);
    const again = jobs.find(({ data }) => data.shard.index === killed);
    assert.ok(again.stalledCounter >= 1, 'the shard was given to another worker');
    assert.ok(again.returnvalue.resumed > 0, 'which went on where the first had come to');

    // Submitted once more, nothing is decoded again.
    await rm(output);
    assert.deepEqual(await submit(input, output), { code, text });
    assert.equal(await readFile(output, 'utf8'), merged);

    // A shard that fails is tried again when the job is submitted once more.
    const other = path.join(folder, 'other.jsonl');
    const inTheWay = shardFile(other, 2, shards);
    await writeFile(inTheWay, 'not of this job');
    assert.equal((await submit(input, other)).code, 1);
    assert.equal(await queue.getFailedCount(), 1);
    await rm(inTheWay);
    assert.deepEqual(await submit(input, other), { code, text });
    assert.equal(await readFile(other, 'utf8'), merged);

    // What the shards could not be merged into is refused before they are decoded.
    assert.equal((await submit(input, path.join(folder, 'packed.jsonl.gz'))).code, 1);
    assert.equal(await queue.getCompletedCount(), 2 * shards);
    assert.equal(await queue.getWaitingCount(), 0);
  },
);
