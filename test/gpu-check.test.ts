// scripts/gpu-check where there is no GPU, and with programs that pretend to be one: it says what
// is missing, a part that fails or has no time does not cost the others, and what came out is
// written.
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

import { gpuCheck, machine, noPython, programs, written } from './support/gpu-check.ts';

describe.skipIf(noPython !== '')(`gpu-check${noPython}`, () => {
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
    const { machine, parts, lines, table } = written(results);
    expect(table).toMatch(/^gpu-pretended-gpu-\d{4}-\d\d-\d\d\.md$/);
    expect(machine.toolkit).toBe('12.9');
    expect(machine.gpu.driver).toBe('550.1');
    expect(parts.map(({ name, state }) => [name, state])).toEqual([
      ['build', 'failed'],
      ['conformance', 'skipped'],
      ['node', 'skipped'],
      ['ceilings', 'skipped'],
    ]);
    expect(parts[1]?.detail).toContain('holds no build');
    expect(parts[2]?.detail).toBe('no Node: give --node PATH');
    expect(lines.join('\n')).toContain('| build | failed |');
  });

  it('stops a part at the end of its time, and keeps what it measured', () => {
    const { folder, build } = machine();
    const endless = '#!/bin/sh\necho \'{"copyGBps": 4000}\'\nexec /bin/sleep 600\n';
    writeFileSync(path.join(build, 'cuda_ceilings'), endless, { mode: 0o755 });
    const { status, results } = gpuCheck(folder, '--only', 'ceilings', '--seconds', '2');
    const [part] = written(results).parts;
    expect(part).toMatchObject({ state: 'stopped', counts: { copyGBps: 4000 } });
    expect(status).toBe(0);
  });

  it('tells a test that has no time from one that fails', () => {
    const { folder, build } = machine();
    const bodies = { cuda_quick_test: 'exit 0', cuda_slow_test: 'exec /bin/sleep 600' };
    const list = Object.entries(bodies).map(([name, body]) => {
      writeFileSync(path.join(build, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
      return `add_test([=[${name}]=] "${name}")`;
    });
    writeFileSync(path.join(build, 'CTestTestfile.cmake'), `${list.join('\n')}\n`);
    const { status, results } = gpuCheck(folder, '--only', 'conformance', '--seconds', '3');
    expect(written(results).parts[0]).toMatchObject({
      state: 'stopped',
      detail: 'no time for cuda_slow_test',
      counts: { passed: 1, failed: 0 },
    });
    expect(status).toBe(0);
  });

  describe('under compute-sanitizer', () => {
    const names = ['draft_loop', 'engine', 'persistent'];
    const of = (chosen: string[]) => [
      '--only',
      'racecheck',
      ...(chosen.length > 0 ? ['--programs', chosen.join(',')] : []),
    ];

    /** A machine whose sanitizer prints this; $5 is the program. */
    function sanitized(body: string) {
      const { folder, build } = machine({ 'compute-sanitizer': body });
      for (const name of names) writeFileSync(path.join(build, `cuda_${name}_test`), '');
      return folder;
    }
    const clean = 'echo "========= RACECHECK SUMMARY: 0 hazards displayed"';

    it('counts a program without a summary as failed', () => {
      const folder = sanitized(`case $5 in *engine*) echo "died"; exit 9;; esac; ${clean}`);
      const { status, results } = gpuCheck(folder, ...of([]));
      const [part] = written(results).parts;
      expect(part).toMatchObject({
        state: 'failed',
        counts: { passed: 2, failed: 1, skipped: 10 },
      });
      expect(part?.detail).toBe('racecheck-cuda_engine_test failed: no summary: exit code 9');
      expect(status).toBe(1);
    });

    it('skips where it watches no program', () => {
      const folder = sanitized('echo "========= Error: Device not supported"; exit 1');
      const { status, results } = gpuCheck(folder, ...of([]));
      const [part] = written(results).parts;
      expect(part).toMatchObject({ state: 'skipped', counts: { passed: 0, failed: 0 } });
      expect(part?.detail).toContain('does not work here: Error: Device not supported');
      expect(status).toBe(0);
    });

    it('runs the programs that are chosen, as a part of its own', () => {
      const folder = sanitized(clean);
      gpuCheck(folder, ...of([]));
      const { results } = gpuCheck(folder, ...of(['draft_loop', 'engine']));
      const { parts } = written(results);
      expect(parts.map(({ name, counts }) => [name, counts.passed])).toEqual([
        ['racecheck', 3],
        ['racecheck of cuda_draft_loop_test, cuda_engine_test', 2],
      ]);
      const { status, stderr } = gpuCheck(folder, ...of(['engin']));
      expect(stderr).toContain('no cuda_engin_test; there are intrinsics, ');
      expect(status).toBe(2);
    });
  });
});
