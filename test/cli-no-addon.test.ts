/** The command line where the addon was not built. */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { tempFolder } from './support/checkpoint-builder.ts';
import { program, root } from './support/cli.ts';

const env = { ...process.env, SPECCASCADE_PREBUILD: await tempFolder() }; // where node-gyp-build looks

function withoutAddon(...args: string[]) {
  return spawnSync(program[0], [program[1], ...args], { cwd: root, env, encoding: 'utf8' });
}

it.each(['', 'generate', 'batch', 'bench', 'sweep', 'tune', 'bigrams', 'info', 'download'])(
  '%s --help',
  (name) => {
    const { status, stdout, stderr } = withoutAddon(...(name ? [name] : []), '--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(`Usage: speccascade ${name}`);
  },
);

it.each(['generate', 'tune', 'info'])('%s fails', (name) => {
  const { status, stdout, stderr } = withoutAddon(name);
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr).toMatch(/^ERR_DEVICE: the native addon is not built/);
});
