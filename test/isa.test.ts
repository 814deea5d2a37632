/** Golden checkpoints once more with the kernels of every lesser instruction set. */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { devices } from '../lib/lowlevel.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const vitest = path.join(
  path.dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
  'vitest.mjs',
);

/** The kernels are chosen once per process, so each choice is a process of its own. */
async function goldenWith(isa: string): Promise<string> {
  const env = { ...process.env, SPECCASCADE_ISA: isa, NO_COLOR: '1' };
  const { stdout } = await run(process.execPath, [vitest, 'run', 'test/golden.test.ts'], {
    cwd: root,
    env,
  });
  return stdout;
}

const features = devices()[0]?.features ?? [];

describe('golden checkpoints', () => {
  it('hold with scalar kernels', async () => {
    expect(await goldenWith('scalar')).toMatch(/12 passed/);
  });

  // A processor without them cannot run them.
  it.for([
    ['avx2', 'avx2'],
    ['avx512', 'avx512f'],
    ['avx512vnni', 'avx512_vnni'],
    ['avx512bf16', 'avx512_bf16'],
  ] as const)('hold with %s kernels', async ([isa, feature], { skip }) => {
    skip(!features.includes(feature), `this processor has no ${feature}`);
    expect(await goldenWith(isa)).toMatch(/12 passed/);
  });

  it('are refused with kernels that do not exist', async () => {
    await expect(goldenWith('quantum')).rejects.toMatchObject({
      stderr: expect.stringContaining('SPECCASCADE_ISA=quantum') as unknown,
    });
  });
});
