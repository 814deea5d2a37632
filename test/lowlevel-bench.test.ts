/** lowlevel.bench: every operation gives times that fit its own sizes; wrong calls are refused. */
import { describe, expect, it } from 'vitest';
import { bench } from '../lib/lowlevel.ts';

const cases: [string, Record<string, number>, number, number][] = [
  ['read', { bytes: 2 ** 22 }, 2 ** 22, 0],
  ['gemm', { rows: 3, n: 100, k: 65 }, 0, 2 * 3 * 100 * 65],
  ['attention', { rows: 2, keys: 33, heads: 2, headDim: 16 }, 2 * 33 * 32 * 4, 4 * 2 * 33 * 32],
  ['norm', { rows: 2, width: 100 }, 800, 800],
  ['softmax', { rows: 2, width: 1000 }, 8000, 8000],
];

describe('bench', () => {
  it.each(cases)('%s', (op, shape, bytes, flops) => {
    for (const dtype of ['f32', 'bf16', 'int8'] as const) {
      const result = bench(op, { ...shape, threads: 1 }, { dtype, repeats: 5 });
      expect(result.msMin).toBeGreaterThan(0);
      expect(result.msMedian).toBeGreaterThanOrEqual(result.msMin);
      if (bytes > 0) expect(result.bytes).toBe(bytes);
      expect(result.flops).toBe(flops);
    }
  });

  it('multiplies more in registers than a product that reads its weights', () => {
    const loop = bench('multiplyAdd', { threads: 1 }, { dtype: 'f32', repeats: 9 });
    const gemm = bench('gemm', { rows: 1, n: 4096, k: 1024, threads: 1 }, { repeats: 9 });
    expect(loop.flops / loop.msMin).toBeGreaterThan(gemm.flops / gemm.msMin);
  });

  it.each([
    ['an unknown operation', 'fly', {}, {}, /fly/],
    ['a missing size', 'gemm', { rows: 1, n: 2 }, {}, /k/],
    ['a size of zero', 'norm', { rows: 0, width: 3 }, {}, /rows.*0/],
    ['a fraction', 'norm', { rows: 1.5, width: 3 }, {}, /rows.*1\.5/],
    ['an absurd size', 'norm', { rows: 2 ** 33, width: 3 }, {}, /rows.*8589934592/],
    ['a surplus size', 'read', { bytes: 4096, rows: 1 }, {}, /rows/],
    ['an unknown dtype', 'gemm', { rows: 1, n: 1, k: 1 }, { dtype: 'f64' }, /f64/],
    ['another device', 'read', { bytes: 4096 }, { device: 'gpu' }, /gpu/],
    ['no repeats', 'read', { bytes: 4096 }, { repeats: 0 }, /repeats.*0/],
  ] as const)('refuses %s', (_, op, shape, options, message) => {
    const call = (): unknown => bench(op, shape, options);
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_INPUT' }));
    expect(call).toThrow(message);
  });

  it.each([
    ['f16 on the CPU', { dtype: 'f16' }, /f16.*CPU/],
    ['a GPU that is not there', { device: 'cuda:999' }, /cuda:999|CUDA|nvcc/],
  ])('cannot have %s', (_, options, message) => {
    const call = (): unknown => bench('gemm', { rows: 1, n: 1, k: 1 }, options);
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_DEVICE' }));
    expect(call).toThrow(message);
  });
});
