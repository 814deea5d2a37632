/** Tokens per second of the bundled models, without speculation, by batch. */
import { createSession } from '../../lib/index.ts';
import { bundledNames, captions, loadBundled } from '../../test/support/models.ts';
import type { Ceilings, Print } from './ceilings.ts';
import { median } from '../../lib/quantile.ts';
import { table } from './table.ts';

const batches = [1, 4, 16, 64];

export async function throughput(limits: Ceilings, repeats: number, print: Print): Promise<void> {
  print('## Throughput of the bundled models\n');
  print(
    'Tokens per second of greedy decoding without a drafter, 64 captions from first request to last ' +
      'result (encoder passes and tokenisation included), by `maxBatch`.\n',
  );
  const inputs = captions(64);
  const rows: string[][] = [];
  for (const name of bundledNames) {
    for (const dtype of ['bf16', 'int8'] as const) {
      await using model = await loadBundled(name, { dtype, threads: limits.threads });
      const rates: number[][] = batches.map(() => []);
      for (let turn = -1; turn < repeats; turn += 1) {
        for (const [i, maxBatch] of batches.entries()) {
          await using session = await createSession({ target: model, maxBatch });
          const begin = performance.now();
          const results = await session.generate(inputs);
          const seconds = (performance.now() - begin) / 1e3;
          const tokens = results.reduce((sum, result) => sum + result.tokens.length, 0);
          if (turn >= 0) rates[i]!.push(tokens / seconds);
        }
      }
      rows.push([name, dtype, ...rates.map((all) => median(all).toFixed(0))]);
    }
  }
  print(table(['model', 'dtype', ...batches.map((batch) => `batch ${batch}`)], rows));
}
