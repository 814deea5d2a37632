/** test/vectors/rules.json.gz by the kernels of the device. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { device } from '../support/models.ts';
import { readVectors } from '../support/vectors/format.ts';
import { runVectors } from '../support/vectors/run.ts';

const root = path.resolve(import.meta.dirname, '..', '..');
const file = path.join(root, 'test', 'vectors', 'rules.json.gz');
const cases = readVectors(file);
const kinds = ['softmax', 'rows', 'target', 'target-big'];

describe(`vectors of rules on ${device}`, () => {
  const reports = runVectors(cases, 0);

  it.each(reports.filter(({ kind }) => kinds.includes(kind)))('$kind: all $total', (report) => {
    expect(report.failures).toEqual([]);
    expect([...report.skips.keys()]).toEqual([]);
    expect(report.passed).toBe(report.total);
  });

  it('skips the others, with the reason', () => {
    for (const { kind, skips, passed, total } of reports) {
      if (!kinds.includes(kind)) expect([...skips.values()], kind).toEqual([total]);
      if (!kinds.includes(kind)) expect(passed, kind).toBe(0);
    }
  });

  it('fails a wrong row', () => {
    const one = structuredClone(cases.find(({ kind }) => kind === 'target')!);
    (one.out.pi as number[])[0]! += 0.5;
    expect(runVectors([one], 0)[0]!.failures[0]).toMatch(/pi\[0\]: .* instead of/);
  });

  it('npm run vectors tells what ran there and what did not', () => {
    const command = ['--import', 'tsx', path.join('scripts', 'vectors.ts'), file];
    const { status, stdout } = spawnSync(process.execPath, [...command, '--device', 'cuda'], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(stdout).toMatch(/target +float +146\/146 +\d\.\de/);
    expect(stdout).toMatch(/chain +float +0\/16 +- +16 skipped: a GPU's draws/);
    expect(stdout).toMatch(/vectors: all passed/);
    expect(status).toBe(0);
  });
});
