/**
 * Soak (npm run soak): mixed requests against sessions and models that come and go, every result
 * compared with its solo run. Prints the counts and how memory went. Exits with 1 if an outcome is
 * wrong, a request is lost or counted twice or does not settle within --settle seconds (says which), or
 * memory rises by more than --rise MiB over the time after the warm-up.
 *
 *   npm run soak -- --minutes 30 [--rate PER_SECOND]    that long, at a steady load
 *   npm run soak -- --minutes 30 --requests 100000     whichever is first
 *
 * Clients send as fast as they are answered, or together --rate requests per second.
 */
import { parseArgs } from 'node:util';
import { randomNumbers } from '../test/support/kill.ts';
import { soak, type SoakReport } from './soak/soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    requests: { type: 'string', default: 'Infinity' },
    rate: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' },
    clients: { type: 'string', default: '24' },
    settle: { type: 'string', default: '60' },
    rise: { type: 'string', default: '16' },
  },
});

function positive(name: keyof typeof values, most = Number.MAX_VALUE): number {
  const value = Number(values[name]);
  if (value > 0 && value <= most) return value;
  throw new Error(`--${name} must be a number above 0, received "${values[name]}"`);
}

function line({ seconds, sent, sessions, loads, memory }: SoakReport): string {
  return (
    `${seconds.toFixed(0)} s: ${sent} requests, ${sessions} sessions, ${loads} loads; ` +
    `${memory.meanMiB.toFixed(0)} MiB, ${memory.slopeMiBPerMinute.toFixed(2)} MiB/min`
  );
}

const rise = positive('rise');
const report = await soak(
  {
    minutes: positive('minutes'),
    requests: positive('requests', Infinity),
    rate: positive('rate', Infinity),
    settleSeconds: positive('settle'),
    templates: 60,
    clients: positive('clients'),
    onProgress: (state) => console.log(line(state)),
  },
  randomNumbers(positive('seed')),
);
const { outcomes, memory, sent, abrupt } = report;
const counted = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
console.log(line(report));
console.log(`outcomes: ${Object.entries(outcomes).map(([kind, n]) => `${kind} ${n}`).join(', ')}`); // prettier-ignore
console.log(`lost or counted twice: ${sent - counted}; sessions closed under requests: ${abrupt}`);
console.log(
  `memory: mean ${memory.meanMiB.toFixed(1)} MiB of ${memory.readings} readings after the warm-up, ` +
    `rise ${memory.riseMiB.toFixed(1)} MiB (bound ${rise})`,
);
process.exitCode = counted === sent && memory.riseMiB <= rise ? 0 : 1;
