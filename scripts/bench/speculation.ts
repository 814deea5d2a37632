/**
 * Wall-clock speculation beside what the measured costs of passes predict.
 *
 * With E tokens per target call, a chain of length g is predicted to be
 *   E t(1) / (d(1) + ... g times + t(g + 1))
 * times as fast as autoregressive decoding, where t(n) and d(n) are the target's and the drafter's
 * decoder passes over n positions. Whatever else a step does is what is missing from 100%.
 */
import { chain, createSession, T5Model, type Result } from '../../lib/index.ts';
import { captions, loadBundled } from '../../test/support/models.ts';
import type { Ceilings, Print } from './ceilings.ts';
import { median } from '../../lib/quantile.ts';
import { percent, table } from './table.ts';

/** Positions and input tokens that passes are timed after. */
const cached = 16;
const source = 24;

/** Rounds of passes in a turn. */
const passRepeats = 8;

interface Case {
  label: string;
  target: T5Model;
  drafter: T5Model;
  length: number;
  inputs: (string | number[])[];
  maxNewTokens: number;
  temperature: number;
}

/** Milliseconds of decoding, encoder passes excluded, and the results. */
interface Run {
  ms: number;
  results: Result[];
}

async function decode(one: Case, length: number): Promise<Run> {
  await using session = await createSession({
    target: one.target,
    ...(length > 0 ? { draft: chain(one.drafter, { length }) } : {}),
    maxBatch: 1,
    maxNewTokens: one.maxNewTokens,
    minNewTokens: one.temperature > 0 ? one.maxNewTokens : 0,
    sampling: { temperature: one.temperature, seed: 7 },
  });
  const results = await session.generate(one.inputs);
  return { ms: results.reduce((sum, { stats }) => sum + stats.decodeMs, 0), results };
}

const total = (results: Result[], of: (result: Result) => number): number =>
  results.reduce((sum, result) => sum + of(result), 0);

/** What one turn measures: both ways of decoding and the passes that they are made of. */
interface Turn {
  results: Result[];
  speedup: number;
  /** t(1), t(length + 1), d(1) */
  passMs: number[];
}

async function takeTurn(one: Case): Promise<Turn> {
  const native = one.target.nativeModel();
  const drafter = one.drafter.nativeModel();
  const plain = await decode(one, 0);
  const alone = await native.timeSteps(null, 0, cached, source, passRepeats);
  const fast = await decode(one, one.length);
  const step = await native.timeSteps(drafter, one.length, cached, source, passRepeats);
  const perToken = (run: Run): number => run.ms / total(run.results, ({ tokens }) => tokens.length);
  return {
    results: fast.results,
    speedup: perToken(plain) / perToken(fast),
    passMs: [alone.target, step.target, step.draft],
  };
}

/** One row of the table: medians of turns, each with its own prediction. */
async function measure(one: Case, repeats: number): Promise<string[]> {
  await takeTurn(one);
  const turns: Turn[] = [];
  for (let turn = 0; turn < repeats; turn += 1) turns.push(await takeTurn(one));
  const drafted = turns[0]!.results;
  const calls = total(drafted, ({ stats }) => stats.targetCalls);
  const perCall = total(drafted, ({ tokens }) => tokens.length) / calls;
  const drafts = total(drafted, ({ stats }) => stats.draftCalls[0]!) / calls;
  const tested = total(drafted, ({ stats }) => stats.tested);
  const accepted = total(drafted, ({ stats }) => stats.accepted) / tested;
  const predict = ({ passMs: [plain, verify, draft] }: Turn): number =>
    (perCall * plain!) / (drafts * draft! + verify!);
  const over = (of: (turn: Turn) => number): number => median(turns.map(of));
  return [
    one.label,
    String(one.length),
    percent(accepted),
    perCall.toFixed(2),
    [0, 1, 2].map((pass) => over(({ passMs }) => passMs[pass]!).toFixed(2)).join(' / '),
    `${over(({ speedup }) => speedup).toFixed(2)} x`,
    `${over(predict).toFixed(2)} x`,
    percent(over((turn) => turn.speedup / predict(turn))),
  ];
}

/** The table, and below it where speculation loses. */
function printRows(rows: string[][], print: Print): void {
  print(table(head, rows));
  const losing = rows.filter((row) => Number.parseFloat(row[5]!) < 1);
  if (losing.length === 0) return;
  const named = losing.map(([label, length]) => `${label} by ${length}`);
  print(`Here decoding without a drafter is faster than: ${named.join('; ')}.\n`);
}

const head = [
  'models',
  'length',
  'accepted',
  'tokens per call',
  'ms: t(1) / t(length + 1) / d(1)',
  'speed-up',
  'predicted',
  'reached',
];

/** The bundled models on captions, greedy. */
export async function bundledModels(
  limits: Ceilings,
  repeats: number,
  print: Print,
): Promise<void> {
  print('## Speculation: bundled models\n');
  print(
    'Greedy, 32 captions one at a time, bf16. The target is so small that it stays in the ' +
      "processor's cache: several positions cost more than one there, and speculation has less to " +
      'gain than on a model that is read from memory.\n',
  );
  const options = { device: 'cpu', dtype: 'bf16', threads: limits.threads } as const;
  await using large = await loadBundled('large', options);
  await using base = await loadBundled('base', options);
  await using small = await loadBundled('small', options);
  const rows: string[][] = [];
  for (const [label, drafter] of [
    ['large + base', base],
    ['large + small', small],
  ] as const) {
    for (const length of [2, 4]) {
      const inputs = captions(32);
      const one = {
        label,
        target: large,
        drafter,
        length,
        inputs,
        maxNewTokens: 128,
        temperature: 0,
      };
      rows.push(await measure(one, repeats));
    }
  }
  printRows(rows, print);
}

/** Random models of published shapes, whose acceptance the temperature sets. */
export async function randomPair(limits: Ceilings, repeats: number, print: Print): Promise<void> {
  print('## Speculation: random:t5-base drafted for by random:t5-small\n');
  print(
    "Logits of random models are independent and close to normal with deviation 1, the drafter's " +
      "and the target's alike. At temperature T two such softmax rows overlap by erfc(1 / 2T), " +
      'which is the acceptance rate of lossless sampling: T sets it, while each step does the ' +
      'same work as with any other weights. Two outputs of 32 tokens, sampled, bf16.\n',
  );
  const options = { device: 'cpu', dtype: 'bf16', threads: limits.threads } as const;
  await using target = await T5Model.load('random:t5-base', options);
  await using drafter = await T5Model.load('random:t5-small', options);
  const inputs = [0, 1].map((i) => Array.from({ length: 24 }, (_, j) => 100 + 37 * j + 1000 * i));
  const rows: string[][] = [];
  for (const [temperature, rate] of [
    [1, '48%'],
    [2, '72%'],
    [4, '86%'],
  ] as const) {
    for (const length of [2, 4]) {
      const label = `T = ${temperature} (${rate} expected)`;
      const one = { label, target, drafter, length, inputs, maxNewTokens: 32, temperature };
      rows.push(await measure(one, Math.min(repeats, 5)));
    }
  }
  printRows(rows, print);
}
