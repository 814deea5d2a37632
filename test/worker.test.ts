/**
 * Worker threads and the ends of environments: several threads at once, process.exit() and
 * terminate() at many moments, the package loaded twice. Every case is a process of its own, so
 * that a crash shows as a signal and a hang as a timeout.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { goldenFolder } from './support/golden-files.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Milliseconds into a phase. */
const moments = Array.from({ length: 10 }, (_, i) => 2 * i);

interface Ended {
  code: number;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** How a fixture ended; after 40 s by SIGKILL. */
function run(fixture: string, ...args: string[]): Promise<Ended> {
  const file = fileURLToPath(new URL(`fixtures/worker/${fixture}`, import.meta.url));
  return new Promise((resolve) => {
    const options = { cwd: root, timeout: 40_000, killSignal: 'SIGKILL' } as const;
    execFile(process.execPath, [file, ...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code ?? -1);
      resolve({ code, signal: error?.signal ?? null, stdout: stdout.trim(), stderr });
    });
  });
}

function clean(stdout: string): Ended {
  return { code: 0, signal: null, stdout, stderr: '' };
}

// Where the fixtures load it from.
beforeAll(() => {
  goldenFolder('relu-tied');
});

describe('worker threads', () => {
  it('load and decode at once, in workers and the main thread, with the same results', async () => {
    expect(await run('together.mjs')).toEqual(clean('all the same'));
  });

  it('come and go where the main thread never loads the addon', async () => {
    expect(await run('unloaded.mjs')).toEqual(clean('all the same'));
  });

  it.each(['load', 'decode', 'stream', 'close'])(
    'terminated at 20 moments of the phase "%s" harm nobody',
    async (phase) => {
      expect(await run('terminate.mjs', phase, '20')).toEqual(clean('unharmed'));
    },
  );
});

describe('process.exit()', () => {
  const phases = ['load', 'decode', 'stream', 'close'];
  it.each(phases.flatMap((phase) => [['main', phase] as const, ['worker', phase] as const]))(
    'in %s at ten moments of the phase "%s" ends with its exit code',
    async (where, phase) => {
      const queue = [...moments];
      const ends: Ended[] = [];
      const work = async (): Promise<void> => {
        for (let delay = queue.pop(); delay !== undefined; delay = queue.pop()) {
          ends.push(await run('exit.mjs', where, phase, String(delay)));
        }
      };
      await Promise.all([work(), work()]);
      const expected = { code: 7, signal: null, stdout: '', stderr: '' };
      expect(ends).toEqual(moments.map(() => expected));
    },
  );
});

describe('the package loaded twice', () => {
  it('by import and require(), and as two copies with two files of the addon', async () => {
    const { stdout, ...rest } = await run('twice.mjs');
    expect(rest).toEqual({ code: 0, signal: null, stderr: expect.any(String) as string });
    expect(stdout).toMatch(/^(required\n)?all the same$/);
  });
});
