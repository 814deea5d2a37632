// scripts/gpu-check on a machine that pretends to have a GPU, and what it wrote there.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect } from 'vitest';

const script = path.join(import.meta.dirname, '..', '..', 'scripts', 'gpu-check');
export const python = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], {
  encoding: 'utf8',
});
export const noPython = python.status === 0 ? '' : ' (skipped: no python3)';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** A folder that is the whole PATH, with one program per entry. */
export function programs(scripts: Record<string, string>): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'gpu-check-'));
  folders.push(folder);
  for (const [name, body] of Object.entries(scripts)) {
    const file = path.join(folder, name);
    writeFileSync(file, `#!/bin/sh\n${body}\n`);
    chmodSync(file, 0o755);
  }
  return folder;
}

/** Programs that print these lines, in a folder where they count as built. */
export function benches(build: string, lines: Record<string, string>): void {
  for (const [name, line] of Object.entries(lines)) {
    writeFileSync(path.join(build, name), `#!/bin/sh\necho '${line}'\n`, { mode: 0o755 });
  }
}

/** A machine with a GPU and a commit but no compilers, and a folder of programs that were built. */
export function machine(others: Record<string, string> = {}) {
  const folder = programs({
    'nvidia-smi': 'echo "Pretended GPU, 550.1, 9.0, 1 MiB"',
    git: 'echo 0123456789ab',
    ...others,
  });
  const build = path.join(folder, 'build');
  mkdirSync(build);
  return { folder, build };
}

export function gpuCheck(folder: string, ...args: string[]) {
  const results = path.join(folder, 'results');
  const { status, stdout, stderr } = spawnSync(
    python.stdout.trim(),
    [script, '--out', results, '--build', path.join(folder, 'build'), ...args],
    { encoding: 'utf8', env: { PATH: folder, PYTHONPATH: path.join(folder, 'packages') } },
  );
  return { status, stdout, stderr, results };
}

export interface Written {
  machine: { toolkit: string; gpu: { driver: string } };
  parts: {
    name: string;
    state: string;
    detail: string;
    counts: Record<string, unknown>;
  }[];
}

/** What a command wrote, its only results. */
export function written(results: string) {
  const [json = '', table = '', ...others] = readdirSync(results).sort();
  expect(others).toEqual([]);
  const { parts, machine } = JSON.parse(readFileSync(path.join(results, json), 'utf8')) as Written;
  const lines = readFileSync(path.join(results, table), 'utf8').split('\n');
  return { machine, parts, lines, json: path.join(results, json), table };
}

export const CEILINGS = '{"copyGBps": 4000, "readGBps": 4300, "gridBarrierMicroseconds": 1}';
export const VERIFICATION =
  '{"case": "chow", "logits": "f32", "vocabulary": 32128, "sequences": 32, "gamma": 8, ' +
  '"temperature": 1, "medianUs": 40, "bytes": 8.6e7}';
