/**
 * Throughput against batch (npm run bench:throughput): autoregressive, fixed speculation, and lengths
 * that follow the load, as a table and a plot, with the ceilings that explain them. Sessions stay
 * open; in every turn each method runs once, so that all see the same machine. Nothing else should be
 * running.
 *
 *   npm run bench:throughput -- [--pair bundled|t5-base] [--dtype auto|f32|bf16|int8] [--repeats 7]
 *     [--batches 1,2,4,8,16,32,64] [--warmups 2] [--output docs/benchmarks/throughput-bf16]
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
import { median, table } from './bench/table.ts';
import { explain, measureLimits } from './bench/throughput-limits.ts';
import { throughputSvg } from './bench/throughput-plot.ts';

const { values } = parseArgs({
  options: {
    pair: { type: 'string', default: 'bundled' },
    dtype: { type: 'string', default: 'auto' },
    repeats: { type: 'string', default: '7' },
    warmups: { type: 'string', default: '2' },
    batches: { type: 'string', default: '1,2,4,8,16,32,64' },
    output: { type: 'string' },
  },
});
const batches = values.batches.split(',').map(Number);
const repeats = Number(values.repeats);
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
  : await T5Model.load('random:t5-base', { dtype });
await using drafter = bundled
  ? await loadBundled('base', { dtype })
  : await T5Model.load('random:t5-small', { dtype });
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
const randomTokens = 8;

/** Enough for a turn of a tenth of a second and more, whatever the batch. */
function inputsFor(batch: number): (string | number[])[] {
  const count = bundled ? Math.min(Math.max(4 * batch, 64), 192) : Math.max(batch, 4);
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

/** Tokens per second, [methods][turns]. */
async function measure(batch: number): Promise<number[][]> {
  const sizes = bundled
    ? {}
    : { maxNewTokens: randomTokens, maxInputTokens: 32, suppressTokens: [1] };
  const sessions = await Promise.all(
    methods.map(({ label: _, ...method }) =>
      createSession({ target, ...method, ...sizes, maxBatch: batch }),
    ),
  );
  const inputs = inputsFor(batch);
  const rates: number[][] = methods.map(() => []);
  for (let turn = -warmups; turn < repeats; turn += 1) {
    for (const [i, session] of sessions.entries()) {
      const rate = await rateOf(session, inputs);
      if (turn >= 0) rates[i]!.push(rate);
    }
  }
  await Promise.all(sessions.map((session) => session.close()));
  return rates;
}

const rows: string[][] = [];
const curves = methods.map(({ label }) => ({ label, rates: [] as number[] }));
for (const batch of batches) {
  const rates = await measure(batch);
  const medians = rates.map(median);
  medians.forEach((rate, i) => curves[i]!.rates.push(rate));
  // The best of autoregressive decoding and fixed speculation, turn by turn.
  const others = medians.map((rate, i) => (i === byLoad ? 0 : rate));
  const best = others.indexOf(Math.max(...others));
  const ratio = median(rates[byLoad]!.map((rate, turn) => rate / rates[best]![turn]!));
  rows.push([
    String(batch),
    ...medians.map((rate) => rate.toFixed(0)),
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
    `of ${repeats} turns in which every method runs once; the last column is the median of the ratios ` +
    'within a turn.\n',
  table(head, rows),
  ...(name === undefined ? [] : [`![tokens per second against batch](${name}.svg)\n`]),
  explain(limits, batches, curves[0]!.rates, tokensPerOutput),
].join('\n');
process.stdout.write(markdown);
if (values.output !== undefined) {
  writeFileSync(`${values.output}.md`, markdown);
  writeFileSync(`${values.output}.svg`, throughputSvg(title, batches, curves));
}
