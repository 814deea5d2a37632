/** Sessions and the life of the process: exit while decoding, terminated workers, idle sessions. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { chain, createSession } from '../lib/index.ts';
import { loadBundled, loadGolden } from './support/models.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));

/** Standard output of a fixture that must end with exit code 0 by itself. */
async function output(fixture: string): Promise<string> {
  const file = fileURLToPath(new URL(`fixtures/lifetime/${fixture}`, import.meta.url));
  const { stdout } = await run(process.execPath, ['--import', 'tsx', file], {
    cwd: root,
    timeout: 100_000,
  });
  return stdout.trim();
}

describe('the life of a process', { timeout: 120_000 }, () => {
  it('ends cleanly while decoding, workers terminated at any moment', async () => {
    expect(await output('busy.mjs')).toBe('busy at the end');
  });

  it('ends by itself when sessions are idle, not before results are there', async () => {
    expect(await output('idle.mjs')).toBe('decoded true');
  });

  it('keeps disposed models as long as sessions decode with them', async () => {
    const input = [5, 6, 7, 8, 1];
    // Long enough that it decodes on while this thread disposes, however late it comes to it.
    const options = { suppressTokens: [1], maxNewTokens: 1000 };
    await using kept = await loadBundled('large');
    await using alone = await createSession({ target: kept, ...options });
    const { tokens } = await alone.generate(input);
    expect(tokens).toHaveLength(1000);

    const target = await loadBundled('large');
    const drafter = await loadBundled('base');
    const draft = chain(drafter, { length: 2 });
    await using session = await createSession({ target, draft, ...options });
    const streamed: number[] = [];
    let open = 0;
    for await (const chunk of session.stream(input)) {
      if (streamed.length === 0) {
        const disposed = [target.dispose(), drafter.dispose()];
        open = session.stats().active;
        await Promise.all(disposed);
        await expect(target.encode([input])).rejects.toThrow(/disposed/);
        await expect(createSession({ target, ...options })).rejects.toThrow(/disposed/);
      }
      streamed.push(...chunk.tokens);
    }
    expect({ open, streamed }).toEqual({ open: 1, streamed: tokens });
    // Requests that come after it, too.
    expect((await session.generate([input, input])).map((result) => result.tokens)).toEqual([
      tokens,
      tokens,
    ]);
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
