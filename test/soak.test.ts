/** A short form of `npm run soak`. */
import { describe, expect, it } from 'vitest';
import { soak } from '../scripts/soak/soak.ts';
import { Watchdog } from '../scripts/soak/watchdog.ts';
import { randomNumbers } from './support/kill.ts';

it('answers mixed requests as alone, while sessions and models come and go', async () => {
  const options = {
    ...{ minutes: 0.2, requests: 4000, rate: Infinity, templates: 12 },
    ...{ clients: 24, settleSeconds: 30 },
  };
  const report = await soak(options, randomNumbers(7));
  const counted = Object.values(report.outcomes).reduce((sum, count) => sum + count, 0);
  expect(counted).toBe(report.sent);
  expect(report.sent).toBeGreaterThan(50);
  expect(report.sessions).toBeGreaterThanOrEqual(8);
  // Twelve seconds tell a leak of whole sessions or models, not a slow one.
  expect(report.memory.riseMiB).toBeLessThan(64);
});

describe('Watchdog', () => {
  it('says which request does not settle', async () => {
    const watchdog = new Watchdog(0.2);
    try {
      const never = watchdog.watch(new Promise(() => {}), 'stream 7', () => '3 queued');
      const soon = watchdog.watch(Promise.resolve(5), 'single 8', () => '0 queued');
      expect(await soon).toBe(5);
      await expect(never).rejects.toThrow(
        /^not settled within 0\.2 s:\n {2}stream 7, for \d+\.\d s: 3 queued$/,
      );
    } finally {
      watchdog.stop();
    }
  });
});
