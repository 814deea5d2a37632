/**
 * The CPU backend beside PyTorch with oneDNN on the same machine (npm run bench:torch -- --python
 * PYTHON, one that has torch and transformers): milliseconds of a step and of an encoder pass of the
 * T5-base shape, and tokens per second of the bundled `large` on the same inputs, all in bf16 and
 * greedy. The two take turns; medians. Nothing else should be running.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { createSession, T5Model } from '../lib/index.ts';
import { devices } from '../lib/lowlevel.ts';
import { bundledFolder, captions, loadBundled } from '../test/support/models.ts';
import { median } from '../lib/quantile.ts';
import { table } from './bench/table.ts';

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    turns: { type: 'string', default: '3' },
    output: { type: 'string' },
  },
});
const threads = os.availableParallelism();
const batches = [1, 16] as const;
const inputTokens = 64;
const stepTokens = 40;
const maxNewTokens = 64;

interface Measured {
  /** By batch. */
  steps: Record<string, { stepMs: number; encoderMs: number }>;
  /** Tokens per second by batch. */
  rates: Record<string, number>;
}

function torch(inputs: number[][]): Measured & { versions: string; threads: number } {
  const script = path.join(import.meta.dirname, 'bench', 'torch_reference.py');
  const { status, stdout, stderr, error } = spawnSync(values.python, [script], {
    input: JSON.stringify({
      model: bundledFolder('large'),
      inputs,
      max_new_tokens: maxNewTokens,
    }),
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${values.python} ${script} failed:\n${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as ReturnType<typeof torch>;
}

/** Of one batch: the encoder pass as the session sees it, cross-attention caches included. */
async function ownSteps(
  target: T5Model,
  batch: number,
): Promise<{ stepMs: number; encoderMs: number }> {
  await using session = await createSession({
    target,
    maxBatch: batch,
    maxInputTokens: inputTokens,
    maxNewTokens: stepTokens,
    minNewTokens: stepTokens,
  });
  const inputs = Array.from({ length: batch }, (_, j) =>
    Int32Array.from({ length: inputTokens }, (_, i) => 5 + ((i * 7919 + j * 31) % 32000)),
  );
  const runs: { stepMs: number; encoderMs: number }[] = [];
  for (let turn = 0; turn < 3; turn += 1) {
    const results = await session.generate(inputs);
    runs.push({
      stepMs: results[0]!.stats.decodeMs / stepTokens,
      encoderMs: results[0]!.stats.encodeMs,
    });
  }
  return {
    stepMs: median(runs.map(({ stepMs }) => stepMs)),
    encoderMs: median(runs.map(({ encoderMs }) => encoderMs)),
  };
}

async function ownRate(inputs: number[][], maxBatch: number): Promise<number> {
  await using target = await loadBundled('large', { dtype: 'bf16', threads });
  await using session = await createSession({ target, maxBatch, maxNewTokens });
  await session.generate(inputs.slice(0, 4));
  const begin = performance.now();
  const results = await session.generate(inputs);
  const tokens = results.reduce((sum, result) => sum + result.tokens.length, 0);
  return (tokens / (performance.now() - begin)) * 1e3;
}

async function own(inputs: number[][]): Promise<Measured> {
  const measured: Measured = { steps: {}, rates: {} };
  await using shape = await T5Model.load('random:t5-base', {
    device: 'cpu',
    dtype: 'bf16',
    threads,
  });
  for (const batch of batches) {
    measured.steps[batch] = await ownSteps(shape, batch);
    measured.rates[batch] = await ownRate(inputs, batch);
  }
  return measured;
}

const large = await loadBundled('large');
const inputs = captions(64).map((text) => [...large.tokenizer!.encode(text)]);
await large.dispose();
const theirs: ReturnType<typeof torch>[] = [];
const ours: Measured[] = [];
for (let turn = 0; turn < Number(values.turns); turn += 1) {
  theirs.push(torch(inputs));
  ours.push(await own(inputs));
}

/** One line: medians of both, and how many times as fast this package is. */
function line(what: string, of: (one: Measured) => number, unit: string, more: boolean): string[] {
  const a = median(theirs.map(of));
  const b = median(ours.map(of));
  const digits = more ? 0 : 1;
  const ratio = more ? b / a : a / b;
  return [
    what,
    `${a.toFixed(digits)} ${unit}`,
    `${b.toFixed(digits)} ${unit}`,
    `${ratio.toFixed(2)} x`,
  ];
}

const rows = [
  line(
    `T5-base shape, encoder, ${inputTokens} tokens`,
    ({ steps }) => steps[1]!.encoderMs,
    'ms',
    false,
  ),
];
for (const batch of batches) {
  rows.push(
    line(`T5-base shape, step, batch ${batch}`, ({ steps }) => steps[batch]!.stepMs, 'ms', false),
    line(`\`large\`, 64 captions, batch ${batch}`, ({ rates }) => rates[batch]!, 'tokens/s', true),
  );
}
const cpu = devices()[0]!;
const text = [
  '# Beside PyTorch on the CPU\n',
  'Written by `npm run bench:torch`: the two in turns on one machine, medians, bf16, greedy, without a',
  "drafter. PyTorch's steps are of the model's forward pass with its cache; this package's are whole",
  'steps of a session, and its encoder pass includes the keys and values of cross-attention.\n',
  `- Processor: ${cpu.name}, ${threads} threads each (${cpu.features.join(', ')})`,
  `- ${theirs[0]!.versions} (${theirs[0]!.threads} threads); Node ${process.version}\n`,
  table(['what', 'PyTorch', 'speccascade', 'times as fast'], rows),
].join('\n');
console.log(text);
if (values.output !== undefined) writeFileSync(values.output, `${text.trimEnd()}\n`);
