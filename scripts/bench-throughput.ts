/**
 * Throughput against batch (npm run bench:throughput): autoregressive, fixed speculation, and lengths
 * that follow the load, as a table and a plot, with the ceilings that explain them. Sessions stay
 * open; in every turn each method runs once, so that all see the same machine. Lengths by load then
 * meet the best of the others in pairs of many short runs that alternate, since on a shared machine
 * single runs of the same work differ by a fifth. Nothing else should be running.
 *
 *   npm run bench:throughput -- [--pair bundled|t5-base] [--dtype auto|f32|bf16|int8]
 *     [--batches 1,2,4,8,16,32,64] [--repeats 7] [--runs 16] [--warmups 2]
 *     [--output docs/benchmarks/throughput-bf16]
 */
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  chain,
  createSession,
  csDraft,
  T5Model,
  tree,
  type DecodeSession,
  type Drafter,
} from '../lib/index.ts';
import { devices } from '../lib/lowlevel.ts';
import { captions, loadBundled } from '../test/support/models.ts';
import { median } from '../lib/quantile.ts';
import { table } from './bench/table.ts';
import { explain, measureLimits } from './bench/throughput-limits.ts';
import { throughputSvg } from './bench/throughput-plot.ts';

const { values } = parseArgs({
  options: {
    pair: { type: 'string', default: 'bundled' },
    dtype: { type: 'string', default: 'auto' },
    /** Turns, and pairs. */
    repeats: { type: 'string', default: '7' },
    /** Of either of a pair. */
    runs: { type: 'string', default: '16' },
    warmups: { type: 'string', default: '2' },
    batches: { type: 'string', default: '1,2,4,8,16,32,64' },
    output: { type: 'string' },
  },
});
const batches = values.batches.split(',').map(Number);
const repeats = Number(values.repeats);
const runs = Number(values.runs);
const warmups = Number(values.warmups);
if (!['bundled', 't5-base'].includes(values.pair)) {
  throw new Error(`--pair must be bundled or t5-base, received "${values.pair}"`);
}
const dtype = values.dtype as 'auto' | 'f32' | 'bf16' | 'int8';

interface Method {
  label: string;
  draft?: Drafter;
  lengths?: 'load';
}

const bundled = values.pair === 'bundled';
await using target = bundled
  ? await loadBundled('large', { dtype })
  : await T5Model.load('random:t5-base', { device: 'cpu', dtype });
await using drafter = bundled
  ? await loadBundled('base', { dtype })
  : await T5Model.load('random:t5-small', { device: 'cpu', dtype });
const methods: Method[] = [
  { label: 'autoregressive' },
  { label: 'chain, by load', draft: chain(drafter, { length: 5 }), lengths: 'load' },
  { label: 'chain of 5', draft: chain(drafter, { length: 5 }) },
  { label: 'tree 3,2,1', draft: tree(drafter, { widths: [3, 2, 1] }) },
  { label: 'csDraft', draft: csDraft([drafter], { lengths: [[3, 4], [0, 4]] }) }, // prettier-ignore
];
const byLoad = 1;
const texts = captions(256);

/** Of random models, whose outputs have no end of their own. */
const randomTokens = 32;

/** Turns of a fraction of a second: methods take turns faster than a shared machine changes its mood. */
function inputsFor(batch: number): (string | number[])[] {
  const count = bundled ? Math.min(Math.max(4 * batch, 96), texts.length) : Math.max(batch, 4);
  if (bundled) return texts.slice(0, count);
  return Array.from({ length: count }, (_, i) =>
    Array.from({ length: 24 }, (__, j) => 10 + ((97 * i + 31 * j) % 30000)),
  );
}

let outputs = 0;
let outputTokens = 0;

async function rateOf(session: DecodeSession, inputs: (string | number[])[]): Promise<number> {
  const begin = performance.now();
  const results = await session.generate(inputs);
  const seconds = (performance.now() - begin) / 1e3;
  const tokens = results.reduce((sum, result) => sum + result.tokens.length, 0);
  outputs += results.length;
  outputTokens += tokens;
  return tokens / seconds;
}

function sessionsFor(batch: number): Promise<DecodeSession[]> {
  const sizes = bundled
    ? {}
    : { maxNewTokens: randomTokens, maxInputTokens: 32, suppressTokens: [1] };
  return Promise.all(
    methods.map(({ label: _, ...method }) =>
      createSession({ target, ...method, ...sizes, maxBatch: batch }),
    ),
  );
}

type Inputs = ReturnType<typeof inputsFor>;

/** Tokens per second, [methods]: medians. */
async function compare(sessions: readonly DecodeSession[], inputs: Inputs): Promise<number[]> {
  const rates: number[][] = sessions.map(() => []);
  for (let turn = -warmups; turn < repeats; turn += 1) {
    for (const [i, session] of sessions.entries()) {
      const rate = await rateOf(session, inputs);
      if (turn >= 0) rates[i]!.push(rate);
    }
  }
  return rates.map(median);
}

/** Throughput of `one` over that of `other`: the median of pairs. */
async function duel(one: DecodeSession, other: DecodeSession, inputs: Inputs): Promise<number> {
  const ratios: number[] = [];
  for (let pair = 0; pair < repeats; pair += 1) {
    let seconds = 0;
    let otherSeconds = 0;
    for (let i = 0; i < runs; i += 1) {
      // By turns the first: what comes second may find the machine otherwise.
      for (const session of i % 2 === 0 ? [one, other] : [other, one]) {
        const taken = 1 / (await rateOf(session, inputs));
        if (session === one) seconds += taken;
        else otherSeconds += taken;
      }
    }
    ratios.push(otherSeconds / seconds);
  }
  return median(ratios);
}

const rows: string[][] = [];
const curves = methods.map(({ label }) => ({ label, rates: [] as number[] }));
for (const batch of batches) {
  const sessions = await sessionsFor(batch);
  const inputs = inputsFor(batch);
  const rates = await compare(sessions, inputs);
  rates.forEach((rate, i) => curves[i]!.rates.push(rate));
  const others = rates.map((rate, i) => (i === byLoad ? 0 : rate));
  const best = others.indexOf(Math.max(...others));
  const ratio = await duel(sessions[byLoad]!, sessions[best]!, inputs);
  await Promise.all(sessions.map((session) => session.close()));
  rows.push([
    String(batch),
    ...rates.map((rate) => rate.toFixed(0)),
    methods[best]!.label,
    ratio.toFixed(3),
  ]);
  process.stderr.write(`batch ${rows.at(-1)!.join(' ')}\n`);
}
const head = [
  'batch',
  ...methods.map(({ label }) => label),
  'best of the others',
  'by load / best',
];
const title = `${bundled ? 'bundled models' : 'random:t5-base'}, ${target.dtype}`;
const inputTokens = bundled
  ? Math.round(
      texts.reduce((sum, text) => sum + target.tokenizer!.encode(text).length, 0) / texts.length,
    )
  : 24;
const tokensPerOutput = outputTokens / outputs;
const threads = os.availableParallelism();
const limits = await measureLimits(target, threads, inputTokens, tokensPerOutput);
const models = bundled ? '`large`, drafted for by `base`' : '`random:t5-base`, `random:t5-small`';
const command = `npm run bench:throughput -- ${process.argv.slice(2).join(' ')}`.trim();
const name = values.output === undefined ? undefined : path.basename(values.output);
const markdown = [
  `# Throughput against batch: ${title}\n`,
  `Written by \`${command}\` on ${devices()[0]!.name}, ${threads} cores; Node ${process.version}. ` +
    `Models: ${models}${bundled ? '' : ' (random weights: drafts are guesses, and refused)'}. ` +
    `Tokens per second from the first request to the last result, encoder passes included; medians ` +
    `of ${repeats} turns in which every method runs once. The last column: lengths by load and the best ` +
    `of the others in ${repeats} pairs of ${runs} alternating runs each, the median of their ratios.\n`,
  table(head, rows),
  ...(name === undefined ? [] : [`![tokens per second against batch](${name}.svg)\n`]),
  explain(limits, batches, curves[0]!.rates, tokensPerOutput),
].join('\n');
process.stdout.write(markdown);
if (values.output !== undefined) {
  writeFileSync(`${values.output}.md`, markdown);
  writeFileSync(`${values.output}.svg`, throughputSvg(title, batches, curves));
}
