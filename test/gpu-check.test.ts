// scripts/gpu-check where there is no GPU, and with programs that pretend to be one: it says what
// is missing, a part that fails does not cost the others, and what came out is written.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const script = path.join(import.meta.dirname, '..', 'scripts', 'gpu-check');
const python = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], {
  encoding: 'utf8',
});
const reason = python.status === 0 ? '' : ' (skipped: no python3)';

/** A folder that is the whole PATH, with one program per entry. */
function programs(scripts: Record<string, string>): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'gpu-check-'));
  for (const [name, body] of Object.entries(scripts)) {
    const file = path.join(folder, name);
    writeFileSync(file, `#!/bin/sh\n${body}\n`);
    chmodSync(file, 0o755);
  }
  return folder;
}

/** A machine that has all that is needed, and a folder of programs that were built. */
function machine() {
  const folder = programs({
    'nvidia-smi': 'echo "Pretended GPU, 550.1, 9.0, 1 MiB"',
    nvcc: 'exit 0',
    cmake: 'exit 0',
    'c++': 'exit 0',
  });
  const build = path.join(folder, 'build');
  mkdirSync(build);
  return { folder, build };
}

function gpuCheck(folder: string, ...args: string[]) {
  const results = path.join(folder, 'results');
  const { status, stdout, stderr } = spawnSync(
    python.stdout.trim(),
    [script, '--out', results, '--build', path.join(folder, 'build'), ...args],
    { encoding: 'utf8', env: { PATH: folder } },
  );
  return { status, stdout, stderr, results };
}

describe.skipIf(reason !== '')(`gpu-check${reason}`, () => {
  it('says what is missing, and writes nothing', () => {
    const { status, stderr, results } = gpuCheck(programs({}));
    expect(stderr).toContain('missing: a GPU: nvidia-smi is not there or lists none');
    expect(stderr).toContain('missing: CMake');
    expect(stderr).toContain('missing: a C++ compiler: c++');
    expect(status).toBe(2);
    expect(existsSync(results)).toBe(false);
  });

  it('names a GPU that is too old', () => {
    const folder = programs({ 'nvidia-smi': 'echo "Old T, 550.1, 7.5, 15360 MiB"' });
    const { status, stderr } = gpuCheck(folder);
    expect(stderr).toContain('compute capability 8.0: Old T has 7.5');
    expect(status).toBe(2);
  });

  it('goes on after a part that failed, and writes what came out', () => {
    const folder = programs({
      'nvidia-smi': 'echo "Pretended GPU, 550.1, 9.0, 1 MiB"',
      nvcc: 'echo "Cuda compilation tools, release 12.9, V12.9.1"',
      cmake: 'echo "no such generator"; exit 3',
      'c++': 'exit 0',
    });
    const only = ['build', 'conformance', 'ceilings', 'node'].flatMap((part) => ['--only', part]);
    const { status, stdout, results } = gpuCheck(folder, ...only);
    expect(status).toBe(1);
    expect(stdout).toContain('build: failed');
    expect(stdout).toContain('no such generator');
    const [json, table, ...others] = readdirSync(results).sort();
    expect(others).toEqual([]);
    expect(table).toMatch(/^gpu-pretended-gpu-\d{4}-\d\d-\d\d\.md$/);
    const written = JSON.parse(readFileSync(path.join(results, json ?? ''), 'utf8')) as {
      machine: { toolkit: string; gpu: { driver: string } };
      parts: { name: string; state: string; detail: string }[];
    };
    expect(written.machine.toolkit).toBe('12.9');
    expect(written.machine.gpu.driver).toBe('550.1');
    expect(written.parts.map(({ name, state }) => [name, state])).toEqual([
      ['build', 'failed'],
      ['conformance', 'skipped'],
      ['node', 'skipped'],
      ['ceilings', 'skipped'],
    ]);
    expect(written.parts[1]?.detail).toContain('holds no build');
    expect(written.parts[2]?.detail).toBe('no Node: give --node PATH');
    expect(readFileSync(path.join(results, table ?? ''), 'utf8')).toContain('| build | failed |');
  });

  it('stops a part at the end of its time, and keeps what it measured', () => {
    const { folder, build } = machine();
    const endless = '#!/bin/sh\necho \'{"copyGBps": 4000}\'\nexec /bin/sleep 600\n';
    writeFileSync(path.join(build, 'cuda_ceilings'), endless, { mode: 0o755 });
    const { status, results } = gpuCheck(folder, '--only', 'ceilings', '--seconds', '2');
    const json = readdirSync(results).find((name) => name.endsWith('.json')) ?? '';
    const written = readFileSync(path.join(results, json), 'utf8');
    const { parts } = JSON.parse(written) as { parts: { state: string }[] };
    expect(parts[0]?.state).toBe('stopped');
    expect(written).toContain('"copyGBps": 4000');
    expect(status).toBe(0);
  });

  it('puts what benches measured beside ceilings and what is asked', () => {
    const { folder, build } = machine();
    const pass = (rows: number, ms: number) =>
      `{"rows": ${rows}, "medianMs": ${ms}, "minMs": ${ms}, "bytes": 2e9}`;
    const step =
      `{"shape": "'$1'", "dtype": "'$3'", "executor": "'$5'", "overlap": true, "phases": 194, "layers": 24, ` +
      `"passes": [${pass(1, 1)}, ${pass(8, 1.05)}]}`;
    const verification =
      '{"case": "chow", "logits": "f32", "vocabulary": 32128, "sequences": 32, "gamma": 8, ' +
      '"medianUs": 40, "bytes": 8e7}';
    const decoding =
      `{"target": "'$1'", "drafter": "'$2'", "dtype": "bf16", "executor": "'$4'", "gamma": 8, ` +
      '"accepted": 0.99, "tokensPerStep": 8.9, "speedup": 4.5, "predicted": 5, ' +
      '"draftedTokenMs": 0.3, "draftedBytes": 4e8, "phases": 97}';
    const encoder = `{"shape": "'$1'", "rows": 2048, "flops": 4e12, "ms": 10, "cublasLtMs": 6, "note": "cuBLASLt 13"}`;
    for (const [name, line] of [
      ['gpu_encoder', encoder],
      ['cuda_ceilings', '{"copyGBps": 4000, "gridBarrierMicroseconds": 1}'],
      ['gpu_passes', step],
      ['gpu_verify', verification],
      ['gpu_speculation', decoding],
    ] as const) {
      writeFileSync(path.join(build, name), `#!/bin/sh\necho '${line}'\n`, { mode: 0o755 });
    }
    const parts = ['passes', 'verification', 'encoder', 'speculation', 'trained', 'transformers'];
    const only = parts.flatMap((part) => ['--only', part]);
    const { status, stdout, results } = gpuCheck(folder, ...only, '--shape', 'xl');
    expect(stdout).toContain('speculation: ok');
    expect(stdout).toContain('encoder: ok');
    // No torch, or one that sees no GPU.
    for (const part of ['trained', 'transformers']) {
      expect(stdout).toMatch(
        new RegExp(`${part}: skipped .*(No module named|sees no GPU|is not built)`),
      );
    }
    expect(status).toBe(0);
    const table = readdirSync(results).find((name) => name.endsWith('.md')) ?? '';
    const lines = readFileSync(path.join(results, table), 'utf8').split('\n');
    expect(lines).toContain(
      '| xl | bf16 | one kernel | 8 | 2.000 | 1.000 | 50% | 75%, 85% | 1.05 |',
    );
    expect(lines).toContain('| xl | int8 | one kernel | 8 | 2.000 | 1.000 | 50% |  | 1.05 |');
    expect(lines).toContain('| chow | 40.0 | 2.00 |');
    expect(lines).toContain('| xl | 10.000 | 400 | 6.000 | 60% |');
    expect(lines).toContain(
      '| xl | small | one kernel | 0.990 | 8.90 | 4.50 | 5.00 | 90% | 300.0 | 1.5 |',
    );
  });
});
