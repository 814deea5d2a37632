/** Whole passes against the ceilings: what a decoding step and an encoder pass cost. */
import { T5Model } from '../../lib/index.ts';
import { bench } from '../../lib/lowlevel.ts';
import type { Ceilings, Dtype, Print } from './ceilings.ts';
import { percent, table } from './table.ts';

/** Positions before the timed ones, and input tokens. */
const cached = 32;
const source = 64;
const shape = 'random:t5-base';
const rowCounts = [1, 2, 4, 8, 16];

/** Decoder passes of a T5-base-shaped model over 1 to 16 positions. */
export async function passes(limits: Ceilings, repeats: number, print: Print): Promise<void> {
  print('## Decoder passes\n');
  print(
    `\`${shape}\` (12 + 12 layers, d_model 768, d_ff 2048, 12 heads of 64, vocabulary 32128), one ` +
      `sequence after ${cached} positions over ${source} input tokens. The bound is the time to ` +
      'read the weights and caches that a pass needs at the read rate above, which is measured ' +
      'again beside each row.\n',
  );
  const rows: string[][] = [];
  for (const threads of limits.threads === 1 ? [1] : [limits.threads, 1]) {
    for (const dtype of ['bf16', 'int8'] as const) {
      rows.push(await decoderRow(dtype, threads, repeats));
    }
  }
  const counts = rowCounts.slice(1).map((count) => `${count} positions`);
  print(
    table(
      ['dtype', 'threads', 'MB read', 'read, GB/s', '1 position', 'of the bound', ...counts],
      rows,
    ),
  );
}

async function decoderRow(dtype: Dtype, threads: number, repeats: number): Promise<string[]> {
  const model = await T5Model.load(shape, { device: 'cpu', dtype, threads });
  const time = () => bench('read', { bytes: 2 ** 29, threads }, { repeats: 7 });
  const before = time();
  const times = await model
    .nativeModel()
    .timePasses('decoder', Int32Array.from(rowCounts), cached, source, 2 * repeats + 1);
  const after = time();
  await model.dispose();
  // Other guests of the machine come and go: the better reading is the ceiling.
  const rate = before.bytes / Math.min(before.msMedian, after.msMedian);
  const one = times.msMedian[0]!;
  return [
    dtype,
    String(threads),
    (times.bytes[0]! / 1e6).toFixed(0),
    (rate / 1e6).toFixed(1),
    `${one.toFixed(2)} ms`,
    percent(times.bytes[0]! / rate / one),
    ...rowCounts.slice(1).map((_, i) => `${(times.msMedian[i + 1]! / one).toFixed(2)} x`),
  ];
}

/** Encoder passes against the register-resident loop of the same instruction. */
export async function encoder(limits: Ceilings, repeats: number, print: Print): Promise<void> {
  print('## Encoder\n');
  print(
    `\`${shape}\`, one sequence. Multiply-adds are those of products and attention; the ceiling is ` +
      "the register loop of the products' instruction.\n",
  );
  const lengths = [64, 128, 256, 512];
  const rows: string[][] = [];
  for (const dtype of ['bf16', 'int8', 'f32'] as const) {
    const model = await T5Model.load(shape, { device: 'cpu', dtype, threads: limits.threads });
    const times = await model
      .nativeModel()
      .timePasses('encoder', Int32Array.from(lengths), 0, 1, Math.min(repeats, 5));
    await model.dispose();
    const ceiling = limits.macRate[dtype];
    for (const [i, length] of lengths.entries()) {
      const rate = (times.flops[i]! / 2 / times.msMedian[i]!) * 1e3;
      rows.push([
        dtype,
        String(length),
        `${times.msMedian[i]!.toFixed(1)} ms`,
        (rate / 1e9).toFixed(0),
        percent(rate / ceiling),
      ]);
    }
  }
  print(table(['dtype', 'tokens', 'pass', 'GMAC/s', 'of the ceiling'], rows));
}

/** Single operations of a T5-base step, for whoever looks for the next microsecond. */
export function operations(limits: Ceilings, repeats: number, print: Print): void {
  print('## Single operations\n');
  const cases: [string, Record<string, number>, Dtype?][] = [
    ['gemm', { rows: 1, n: 32128, k: 768 }, 'bf16'],
    ['gemm', { rows: 8, n: 32128, k: 768 }, 'bf16'],
    ['gemm', { rows: 512, n: 2304, k: 768 }, 'bf16'],
    ['gemm', { rows: 512, n: 2304, k: 768 }, 'int8'],
    ['attention', { rows: 1, keys: 64, heads: 12, headDim: 64 }, 'f32'],
    ['attention', { rows: 8, keys: 512, heads: 12, headDim: 64 }, 'f32'],
    ['norm', { rows: 1, width: 768 }],
    ['softmax', { rows: 1, width: 32128 }],
    ['softmax', { rows: 1, width: 250112 }],
  ];
  const rows = cases.map(([op, sizes, dtype]) => {
    const shape = { ...sizes, threads: limits.threads };
    const { msMedian, bytes, flops } = bench(op, shape, {
      repeats: 10 * repeats,
      ...(dtype ? { dtype } : {}),
    });
    const what = Object.entries(sizes).map(([name, size]) => `${name} ${size}`);
    return [
      op,
      [...what, ...(dtype ? [dtype] : [])].join(', '),
      `${(1e3 * msMedian).toFixed(1)} us`,
      (bytes / msMedian / 1e6).toFixed(1),
      (flops / 2 / msMedian / 1e6).toFixed(1),
    ];
  });
  print(table(['operation', 'sizes', 'time', 'GB/s', 'GMAC/s'], rows));
}
