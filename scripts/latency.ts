/**
 * Tail latency of streaming requests (npm run bench:latency): in rounds, what the session can
 * do with 32 streams open at all times, and how late timers are meanwhile; then streams that arrive
 * as a Poisson process at 70% of that rate. Medians of the rounds. Markdown on standard output or in --output FILE; exits with 1
 * if a bound is missed. Nothing else should be running.
 *
 * Rounds are short because machines change their speed within seconds: at 70% of the capacity of
 * ten seconds ago a session may be at 95% of its own, and then measures its queue. The capacity is
 * therefore measured after each round, too, and the load that the round was really at is told.
 *
 *   npm run bench:latency -- [--seconds N] [--rounds N] [--seed N] [--output docs/benchmarks/latency.md]
 */
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { chain, createSession, type DecodeSession, type SessionOptions } from '../lib/index.ts';
import { devices } from '../lib/lowlevel.ts';
import { randomNumbers } from '../test/support/kill.ts';
import { captions, loadBundled } from '../test/support/models.ts';
import { median } from '../lib/quantile.ts';
import { table } from './bench/table.ts';
import { lateness, nearestRank } from './latency/lateness.ts';
import { poisson, saturate } from './latency/streams.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '7' },
    seed: { type: 'string', default: '1' },
    output: { type: 'string' },
  },
});
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
const seed = Number(values.seed);
for (const [name, value] of Object.entries({ seconds, rounds })) {
  if (!(value > 0)) throw new Error(`--${name} must be a number above 0`);
}

const streams = 32;
const load = 0.7;
/** p99 of the time to the first token over its median. */
const firstTokenBound = 5;
const latenessBoundMs = 10;

const target = await loadBundled('large', { dtype: 'auto' });
const drafter = await loadBundled('base', { dtype: 'auto' });
const texts = captions(1000);
const rows: string[][] = [];
const byRound: string[][] = [];
const missed: string[] = [];
const ms = (value: number): string => value.toFixed(1);

interface Capacity {
  /** Streams ended per second. */
  rate: number;
  /** p99 of the timers, ms. */
  late: number;
}

async function capacityOf(session: DecodeSession): Promise<Capacity> {
  const full = await lateness(() => saturate(session, texts, streams, seconds / 2));
  return { rate: full.value.ended / full.value.seconds, late: nearestRank(full.late, 0.99) };
}

interface Round {
  capacity: number;
  /** Arrivals per second over the mean of the capacities before and after. */
  load: number;
  ended: number;
  mostOpen: number;
  firstMedian: number;
  firstP99: number;
  ratio: number;
  betweenMedian: number;
  betweenP99: number;
  late: number;
}

async function measureRounds(session: DecodeSession, random: () => number): Promise<Round[]> {
  const all: Round[] = [];
  let before = await capacityOf(session);
  while (all.length < rounds) {
    const times = await poisson(session, texts, load * before.rate, seconds, random);
    const after = await capacityOf(session);
    const firstMedian = nearestRank(times.firstToken, 0.5);
    const firstP99 = nearestRank(times.firstToken, 0.99);
    all.push({
      capacity: before.rate,
      load: (2 * times.ended) / seconds / (before.rate + after.rate),
      ...{ ended: times.ended, mostOpen: times.mostOpen },
      ...{ firstMedian, firstP99, ratio: firstP99 / firstMedian },
      betweenMedian: nearestRank(times.between, 0.5),
      betweenP99: nearestRank(times.between, 0.99),
      late: before.late,
    });
    before = after;
  }
  return all;
}

async function measure(name: string, method: Partial<SessionOptions>): Promise<void> {
  await using session = await createSession({
    ...{ target, maxBatch: streams, maxNewTokens: 64 },
    ...method,
  });
  await saturate(session, texts, streams, 1); // warm-up
  const all = await measureRounds(session, randomNumbers(seed));
  const middle = (of: keyof Round): number => median(all.map((one) => one[of]));
  const each = (of: keyof Round): string => all.map((one) => one[of].toFixed(2)).join(' ');
  const [ratio, late] = [middle('ratio'), middle('late')];
  rows.push([
    ...[name, middle('capacity').toFixed(0), middle('ended').toFixed(0)],
    ...[middle('mostOpen').toFixed(0), ms(middle('firstMedian')), ms(middle('firstP99'))],
    ...[ratio.toFixed(2), ms(middle('betweenMedian')), ms(middle('betweenP99')), ms(late)],
  ]);
  byRound.push([name, each('ratio'), each('load')]);
  process.stderr.write(`${name}: ${each('ratio')}; load ${each('load')}\n`);
  if (ratio > firstTokenBound) missed.push(`${name}: time to first token`);
  if (late >= latenessBoundMs) missed.push(`${name}: timer lateness`);
}

await measure('autoregressive', {});
await measure('chain of 4', { draft: chain(drafter, { length: 4 }) });
await measure('chain, by load', { draft: chain(drafter, { length: 4 }), lengths: 'load' });

const cpu = devices()[0]!;
const head = [
  ...['method', 'capacity, streams/s', 'streams', 'open at once', 'first token p50, ms', 'p99, ms'],
  ...['p99/p50', 'between tokens p50, ms', 'p99, ms', 'timer lateness p99, ms'],
];
const text = `# Tail latency of streams

Written by \`npm run bench:latency -- --output docs/benchmarks/latency.md\`: the bundled \`large\` (${target.dtype}; \`base\` drafts), captions,
\`maxBatch\` ${streams}. Each figure is the median of ${rounds} rounds. A round measures the capacity, streams ended per
second with ${streams} open at all times, for ${seconds / 2} s; then streams arrive as a Poisson process at
${(100 * load).toFixed(0)}% of it for ${seconds} s. Times run from the arrival. Timer lateness: of an interval of 1 ms on the
thread that reads the streams, at full load.

- Processor: ${cpu.name}, ${os.availableParallelism()} cores; Node ${process.version}, ${os.type()} ${os.release()}

${table(head, rows)}
Round by round: the ratio, and the load that it was really at, arrivals over the mean of the capacities
before and after. Where a machine slows down, the load rises and the tail with it: more streams are
open than there are slots, and the last wait for one.

${table(['method', 'p99/p50', 'load'], byRound)}
Bounds: p99/p50 of the first token at most ${firstTokenBound}, timer lateness p99 below ${latenessBoundMs} ms: ${
  missed.length > 0 ? `missed: ${missed.join('; ')}` : 'kept'
}.
`;
process.stdout.write(text);
if (values.output !== undefined) writeFileSync(values.output, text);
process.exitCode = missed.length > 0 ? 1 : 0;
