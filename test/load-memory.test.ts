/** Loading takes the memory of the weights in their run-time type, and hardly more at its peak. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';

const script = path.resolve(import.meta.dirname, '../scripts/bench-load.ts');

it.skipIf(process.platform !== 'linux')(
  'at most 1.15 x the weights, mapped pages included',
  () => {
    const args = ['--import', 'tsx', script, '--shape', 't5-small', '--only', 'memory'];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(stdout.match(/ ok$/gm)).toHaveLength(4);
    expect(status, stderr).toBe(0);
  },
  60_000,
);
