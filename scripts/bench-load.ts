/**
 * What loading costs (npm run bench:load): writes T5-base-shaped checkpoints to a temporary folder,
 * loads each in a fresh process, and prints, beside their ceilings,
 *
 * - the peak growth of resident memory through the load, over the bytes of
 *   the weights in their run-time dtype (1.15);
 * - the time of a load from a warm cache over that of a plain read of the file into a fresh buffer
 *   (3), medians of five pairs;
 * - the growth of memory over 1,000 sessions opened, used and closed, after as many that let V8
 *   compile and the allocator settle (4 MiB): resident memory outside V8's heap, which V8 sizes to its
 *   own taste, and what is alive in the heap.
 *
 * Exits with 1 if one is above. `--shape t5-small --only memory` for a quick look.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { T5Config } from '../lib/checkpoint.ts';
import { publishedConfig } from '../lib/checkpoint/published.ts';
import { createSession, T5Model } from '../lib/index.ts';
import { median } from '../lib/quantile.ts';

type FileDtype = 'F32' | 'BF16';
type RunDtype = 'f32' | 'bf16';

const { values } = parseArgs({
  options: {
    shape: { type: 'string', default: 't5-base' },
    only: { type: 'string', default: 'memory,time,sessions' },
    /** What one fresh process does: memory, time or sessions. For this script's own use. */
    measure: { type: 'string' },
    folder: { type: 'string', default: '' },
    dtype: { type: 'string', default: 'bf16' },
  },
});
const chosen = new Set(values.only.split(','));
const ceilings = { memory: 1.15, time: 3, sessions: 4 * 2 ** 20 };

/** Names and shapes of all tensors of a model. */
function shapesOf(config: T5Config): [string, number[]][] {
  const { dModel, dFf, numHeads, dKv, numLayers, numDecoderLayers } = config;
  const inner = numHeads * dKv;
  const list: [string, number[]][] = [['shared.weight', [config.vocabSize, dModel]]];
  if (!config.tieWordEmbeddings) list.push(['lm_head.weight', [config.vocabSize, dModel]]);
  const attention = (stem: string, kind: string, first: boolean): void => {
    list.push([`${stem}.layer_norm.weight`, [dModel]]);
    for (const part of 'qkv') list.push([`${stem}.${kind}.${part}.weight`, [inner, dModel]]);
    list.push([`${stem}.${kind}.o.weight`, [dModel, inner]]);
    const bias = [config.relativeAttentionNumBuckets, numHeads];
    if (first) list.push([`${stem}.${kind}.relative_attention_bias.weight`, bias]);
  };
  const feedForward = (stem: string): void => {
    list.push([`${stem}.layer_norm.weight`, [dModel]]);
    for (const wi of config.isGatedAct ? ['wi_0', 'wi_1'] : ['wi']) {
      list.push([`${stem}.DenseReluDense.${wi}.weight`, [dFf, dModel]]);
    }
    list.push([`${stem}.DenseReluDense.wo.weight`, [dModel, dFf]]);
  };
  for (let i = 0; i < numLayers; i++) {
    attention(`encoder.block.${i}.layer.0`, 'SelfAttention', i === 0);
    feedForward(`encoder.block.${i}.layer.1`);
  }
  for (let i = 0; i < numDecoderLayers; i++) {
    attention(`decoder.block.${i}.layer.0`, 'SelfAttention', i === 0);
    attention(`decoder.block.${i}.layer.1`, 'EncDecAttention', false);
    feedForward(`decoder.block.${i}.layer.2`);
  }
  for (const stack of ['encoder', 'decoder']) {
    list.push([`${stack}.final_layer_norm.weight`, [dModel]]);
  }
  return list;
}

/** A checkpoint of this shape; values are small, finite and all different. */
async function writeCheckpoint(folder: string, config: T5Config, dtype: FileDtype): Promise<void> {
  const bytesOf = (shape: number[]) => shape.reduce((a, b) => a * b, dtype === 'F32' ? 4 : 2);
  let end = 0;
  const header = Object.fromEntries(
    shapesOf(config).map(([name, shape]) => {
      const begin = end;
      end += bytesOf(shape);
      return [name, { dtype, shape, data_offsets: [begin, end] }];
    }),
  );
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(path.join(folder, 'model.safetensors'), 'w');
  writeSync(file, prefix);
  writeSync(file, text);
  const block = Float32Array.from({ length: 2 ** 20 }, (_, i) => Math.sin(i * i) * 0.05);
  const words = new Uint16Array(block.buffer).filter((_, i) => i % 2 === 1); // the high halves
  const bytes = new Uint8Array((dtype === 'F32' ? block : words).buffer);
  for (let left = end; left > 0; left -= bytes.length) {
    writeSync(file, bytes, 0, Math.min(left, bytes.length));
  }
  closeSync(file);
  const { vocabSize, dModel, dKv, dFf, numLayers, numHeads } = config;
  const shape = { vocab_size: vocabSize, d_model: dModel, d_kv: dKv, d_ff: dFf };
  const layers = { num_layers: numLayers, num_heads: numHeads };
  const rest = {
    feed_forward_proj: config.feedForwardProj,
    tie_word_embeddings: config.tieWordEmbeddings,
  };
  const json = { model_type: 't5', ...shape, ...layers, ...rest };
  await writeFile(path.join(folder, 'config.json'), JSON.stringify(json));
}

const load = () => T5Model.load(values.folder, { device: 'cpu', dtype: values.dtype as RunDtype });

/** Kilobytes of a line of /proc/self/status, in bytes. */
function status(key: string): number {
  const found = new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(
    readFileSync('/proc/self/status', 'utf8'),
  );
  return Number(found?.[1]) * 1024;
}

async function measureMemory(): Promise<number[]> {
  const before = status('VmRSS');
  const model = await load();
  return [status('VmHWM') - before, status('VmRSS') - before, model.memoryBytes];
}

/** Seconds of a plain read and of a load, after one of each. */
async function measureTime(): Promise<number[]> {
  const name = path.join(values.folder, 'model.safetensors');
  const seconds = async (work: () => unknown): Promise<number> => {
    const start = process.hrtime.bigint();
    await work();
    return Number(process.hrtime.bigint() - start) / 1e9;
  };
  const read = () => {
    const { size } = statSync(name);
    const buffer = Buffer.allocUnsafeSlow(size);
    const file = openSync(name, 'r');
    for (let at = 0; at < size;) at += readSync(file, buffer, at, Math.min(size - at, 2 ** 30), at);
    closeSync(file);
  };
  const reading = [await seconds(read), await seconds(read)][1]!;
  return [reading, await seconds(load)];
}

async function measureSessions(): Promise<number[]> {
  const target = await load();
  const churn = async (count: number): Promise<number> => {
    for (let i = 0; i < count; i++) {
      await using session = await createSession({ target, maxInputTokens: 16, maxNewTokens: 2 });
      await session.generate([5, 6, 1]);
    }
    global.gc!();
    const { heapTotal, heapUsed } = process.memoryUsage();
    return status('VmRSS') - heapTotal + heapUsed;
  };
  const before = await churn(1000);
  return [(await churn(1000)) - before];
}

const measures = { memory: measureMemory, time: measureTime, sessions: measureSessions };
const mebi = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
let failed = false;

function inFreshProcess(measure: keyof typeof measures, folder: string, dtype: RunDtype): number[] {
  const own = fileURLToPath(import.meta.url);
  const args = ['--measure', measure, '--folder', folder, '--dtype', dtype];
  const output = execFileSync(process.execPath, ['--expose-gc', '--import', 'tsx', own, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(output) as number[];
}

function verdict(value: number, ceiling: number): string {
  if (value > ceiling) failed = true;
  return value > ceiling ? 'ABOVE' : 'ok';
}

function report(folder: string, fileDtype: FileDtype, dtype: RunDtype): void {
  const name = `${values.shape}, file ${fileDtype}, loaded as ${dtype}`;
  if (chosen.has('memory')) reportMemory(name, folder, dtype);
  if (chosen.has('time')) reportTime(name, folder, dtype);
}

function reportMemory(name: string, folder: string, dtype: RunDtype): void {
  const [peak = 0, growth = 0, weights = 0] = inFreshProcess('memory', folder, dtype);
  console.log(
    `${name}: resident memory grew by ${mebi(peak)} at the peak, ${mebi(growth)} at the end; weights ` +
      `${mebi(weights)}: ${(peak / weights).toFixed(3)} (at most ${ceilings.memory}) ` +
      verdict(peak / weights, ceilings.memory),
  );
}

function reportTime(name: string, folder: string, dtype: RunDtype): void {
  const pairs = Array.from({ length: 5 }, () => inFreshProcess('time', folder, dtype)).map(
    ([read = 0, loading = 0]) => ({ read, loading, ratio: loading / read }),
  );
  const middle = (of: 'read' | 'loading' | 'ratio') => median(pairs.map((pair) => pair[of]));
  const ratio = middle('ratio');
  console.log(
    `${name}: loaded in ${middle('loading').toFixed(3)} s, read in ${middle('read').toFixed(3)} s: ` +
      `${ratio.toFixed(2)} (at most ${ceilings.time}) ${verdict(ratio, ceilings.time)}`,
  );
}

async function main(): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'speccascade-load-'));
  try {
    for (const fileDtype of ['BF16', 'F32'] as const) {
      await writeCheckpoint(folder, publishedConfig(values.shape), fileDtype);
      for (const dtype of ['bf16', 'f32'] as const) report(folder, fileDtype, dtype);
    }
    if (!chosen.has('sessions')) return;
    const tiny = path.resolve(import.meta.dirname, '../models/small');
    const [growth = 0] = inFreshProcess('sessions', tiny, 'f32');
    console.log(
      `1,000 sessions: memory grew by ${mebi(growth)} (at most ${mebi(ceilings.sessions)}) ` +
        verdict(growth, ceilings.sessions),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
    process.exitCode = failed ? 1 : 0;
  }
}

if (values.measure === undefined) await main();
else console.log(JSON.stringify(await measures[values.measure as keyof typeof measures]()));
