/** A short form of `npm run soak`. */
import { expect, it } from 'vitest';
import { soak } from '../scripts/soak/soak.ts';
import { randomNumbers } from './support/kill.ts';

it('answers mixed requests as alone, while sessions and models come and go', async () => {
  const options = { minutes: 0.2, requests: 4000, templates: 12, clients: 24 };
  const report = await soak(options, randomNumbers(7));
  const counted = Object.values(report.outcomes).reduce((sum, count) => sum + count, 0);
  expect(counted).toBe(report.sent);
  expect(report.sent).toBeGreaterThan(50);
  expect(report.sessions).toBeGreaterThanOrEqual(8);
  // Twelve seconds tell a leak of whole sessions or models, not a slow one.
  expect(report.memory.riseMiB).toBeLessThan(64);
});
