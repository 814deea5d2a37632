/** Sessions and the life of the process: exit while decoding, terminated workers, idle sessions. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { createSession } from '../lib/index.ts';
import { loadGolden } from './support/models.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));

/** Standard output of a fixture that must end with exit code 0 by itself. */
async function output(fixture: string): Promise<string> {
  const file = fileURLToPath(new URL(`fixtures/lifetime/${fixture}`, import.meta.url));
  const { stdout } = await run(process.execPath, ['--import', 'tsx', file], {
    cwd: root,
    timeout: 50_000,
  });
  return stdout.trim();
}

describe('the life of a process', () => {
  it('ends cleanly while decoding, workers terminated at any moment', async () => {
    expect(await output('busy.mjs')).toBe('busy at the end');
  });

  it('ends by itself when sessions are idle, not before results are there', async () => {
    expect(await output('idle.mjs')).toBe('decoded true');
  });

  it('opens and closes many sessions without growing', async () => {
    await using target = await loadGolden('relu-tied');
    const churn = async (count: number): Promise<number> => {
      for (let i = 0; i < count; i += 1) {
        await using session = await createSession({ target, maxNewTokens: 4 });
        await session.generate([5, 6, 1]);
      }
      return process.memoryUsage.rss();
    };
    const before = await churn(200);
    const after = await churn(200);
    expect(after - before).toBeLessThan(20 * 2 ** 20);
  });
});
