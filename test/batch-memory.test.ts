/** That a batch job takes no more memory for a longer input. */
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { createSession, runBatch } from '../lib/index.ts';
import { tempFolder } from './support/checkpoint-builder.ts';
import { loadGolden } from './support/models.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

it.each([false, true])(
  'a job keeps nothing of its records (ordered: %s)',
  async (orderByLength) => {
    const model = await loadGolden('relu-tied');
    await using session = await createSession({ target: model, maxNewTokens: 2, maxBatch: 4 });
    // Failures cost nothing but what the job does with every record.
    async function* records(): AsyncGenerator<unknown> {
      for (let id = 0; id < 20_000; id += 1) {
        yield id % 10 === 0 ? { id, text: [5, 1] } : { id, ballast: 'x'.repeat(500) };
      }
    }
    const heap = new Map<number, number>();
    const output = path.join(await tempFolder(), 'out.jsonl');
    const onProgress = ({ records: done }: { records: number }): void => {
      if (done % 5000 !== 0 || heap.has(done)) return;
      collect();
      const { heapUsed, external } = process.memoryUsage();
      heap.set(done, heapUsed + external);
    };
    await runBatch({ session, input: records(), output, orderByLength, onProgress });
    // 15,000 records on: their texts, or 350 bytes of each, would be seen.
    expect(heap.get(20_000)! - heap.get(5000)!).toBeLessThan(5e6);
  },
);
