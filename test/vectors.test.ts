/**
 * All cases of test/vectors/rules.json.gz through the native code, in double and in float; and that
 * the comparison bites, as does the command around it.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { devices } from '../lib/lowlevel.ts';
import { tempFolder } from './support/checkpoint-builder.ts';
import { readVectors, type VectorCase } from './support/vectors/format.ts';
import { runVectors } from './support/vectors/run.ts';

const root = path.resolve(import.meta.dirname, '..');
const file = path.join(root, 'test', 'vectors', 'rules.json.gz');
const cases = readVectors(file);

describe('vectors of rules', () => {
  it.each(runVectors(cases))('$kind in $precision: all $total', (report) => {
    expect(report.failures).toEqual([]);
    expect([...report.skips.keys()]).toEqual([]);
    expect(report.passed).toBe(report.total);
  });

  it('has the kinds and numbers of cases that the file had when this was written', () => {
    const counts = new Map<string, number>();
    for (const { kind } of cases) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    expect(Object.fromEntries(counts)).toMatchObject({
      ...{ softmax: 11, rows: 3, target: 146, 'target-big': 9, multi: 24, kseq: 3, chain: 16 },
      ...{ block: 5, tree: 9, nested: 4, maxgram: 17, csd: 3, expect: 13, philox: 3 },
    });
  });
});

/** The case with its first number changed, by more than any tolerance. */
function spoiled(one: VectorCase): VectorCase {
  const copy = structuredClone(one);
  let done = false;
  const visit = (value: unknown): unknown => {
    if (done) return value;
    if (typeof value === 'number') {
      done = true;
      return value + 1;
    }
    if (Array.isArray(value)) return value.map(visit);
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, visit(inner)]));
    }
    return value;
  };
  copy.out = visit(copy.out) as VectorCase['out'];
  return copy;
}

describe('the comparison', () => {
  const kinds = [...new Set(cases.map(({ kind }) => kind))];

  it.each(kinds)('fails a wrong number in %s', (kind) => {
    const wrong = spoiled(cases.find((one) => one.kind === kind)!);
    for (const report of runVectors([wrong])) {
      expect(report.passed).toBe(0);
      expect(report.failures.length).toBeGreaterThan(0);
    }
  });

  it('fails a kind that it does not know, and says which', () => {
    const [report] = runVectors([{ id: 'x-1', kind: 'surprise', in: {}, out: {} }]);
    expect(report!.failures).toEqual(['x-1 (double): Error: unknown kind surprise']);
  });

  it('skips what is too large to enumerate, with the reason', () => {
    const one = cases.find(({ kind }) => kind === 'chain')!;
    const large = {
      ...one,
      in: { ...one.in, gen: { ...(one.in.gen as object), V: 500 }, gamma: 3 },
      out: { ...one.out, traces: [] },
    };
    const [report] = runVectors([large]);
    expect([...report!.skips.keys()]).toEqual(['500^4 sequences are too many to enumerate']);
    expect(report!.failures).toEqual([]);
  });
});

describe('npm run vectors', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await tempFolder();
  });

  function vectors(...args: string[]): { status: number | null; text: string } {
    const command = ['--import', 'tsx', path.join('scripts', 'vectors.ts'), ...args];
    const options = { cwd: root, encoding: 'utf8' as const };
    const { status, stdout, stderr } = spawnSync(process.execPath, command, options);
    return { status, text: stdout + stderr };
  }

  function fileOf(content: unknown): string {
    const name = path.join(folder, 'vectors.json');
    writeFileSync(name, JSON.stringify(content));
    return name;
  }

  const few = ['softmax', 'philox'].map((kind) => cases.find((one) => one.kind === kind)!);

  it('prints passed cases and the worst error per kind, and ends with 0', () => {
    const { status, text } = vectors(fileOf({ format: 'speccascade-rules/1', cases: few }));
    expect(text).toMatch(/softmax +double +1\/1 +\d\.\de[+-]\d+/);
    expect(text).toMatch(/softmax +float +1\/1/);
    expect(text).toMatch(/philox +double +1\/1/);
    expect(status).toBe(0);
  });

  it('ends with 1 and names the case and the value when one fails', () => {
    const wrong = few.map(spoiled);
    const { status, text } = vectors(fileOf({ format: 'speccascade-rules/1', cases: wrong }));
    expect(text).toMatch(/FAIL softmax-001-T0 \(double\): p\[0\]: 1 instead of 2/);
    expect(status).toBe(1);
  });

  it('ends with 2 for what is no such file', () => {
    expect(vectors(fileOf({ format: 'other/1', cases: [] })).status).toBe(2);
    expect(vectors(path.join(folder, 'missing.json')).status).toBe(2);
    expect(vectors().status).toBe(2);
    expect(vectors(file, '--device', 'tpu').status).toBe(2);
  });

  const hasGpu = devices().some(({ kind }) => kind === 'cuda');
  it.skipIf(hasGpu)('skips every kind where there is no GPU, with the reason', () => {
    const { status, text } = vectors(file, '--device', 'cuda');
    expect(text).toMatch(/target +146 skipped: .*CUDA/);
    expect(status).toBe(0);
  });
});
