/** Steps of sessions against the read rate, where caches are large: many sequences, long inputs. */
import { createSession, T5Model } from '../../lib/index.ts';
import { bench } from '../../lib/lowlevel.ts';
import type { Ceilings, Dtype, Print } from './ceilings.ts';
import { median } from '../../lib/quantile.ts';
import { percent, table } from './table.ts';

const shape = 'random:t5-base';
const outputTokens = 64;
/** Medians, and how many slots were in use on average. */
interface StepTime {
  ms: number;
  slots: number;
}

const cases = [
  { batch: 1, inputTokens: 64 },
  { batch: 1, inputTokens: 512 },
  { batch: 16, inputTokens: 64 },
  { batch: 16, inputTokens: 512 },
];

export async function steps(limits: Ceilings, repeats: number, print: Print): Promise<void> {
  print('## Steps of sessions\n');
  print(
    `\`${shape}\`, without a drafter, outputs of ${outputTokens} tokens; encoder passes excluded. ` +
      'Inputs come in one after the other, so that fewer slots than the batch has are in use on ' +
      'average. The bound is the time to read the weights, once, and the caches of the slots in ' +
      'use, at the read rate, which is measured again beside each type.\n',
  );
  const rows: string[][] = [];
  for (const dtype of ['bf16', 'int8', 'f32'] as const) {
    rows.push(...(await rowsOf(dtype, limits.threads, Math.min(repeats, 5))));
  }
  print(
    table(
      ['dtype', 'batch', 'input tokens', 'slots in use', 'MB read', 'step', 'of the bound'],
      rows,
    ),
  );
}

async function rowsOf(dtype: Dtype, threads: number, repeats: number): Promise<string[][]> {
  await using model = await T5Model.load(shape, { device: 'cpu', dtype, threads });
  const read = () => bench('read', { bytes: 2 ** 29, threads }, { repeats: 7 });
  const before = read();
  // Of one position over one token: the weights, and next to nothing of caches.
  const weights = (await model.nativeModel().timePasses('decoder', Int32Array.of(1), 0, 1, 1))
    .bytes[0]!;
  const { dKv, numHeads, numDecoderLayers } = model.config;
  const keyBytes = 2 * dKv * numHeads * numDecoderLayers * (dtype === 'bf16' ? 2 : 4);
  const measured: StepTime[] = [];
  for (const one of cases) measured.push(await measure(model, one, repeats));
  const after = read();
  const rate = before.bytes / Math.min(before.msMedian, after.msMedian);
  return cases.map(({ batch, inputTokens }, i) => {
    const { ms, slots } = measured[i]!;
    const bytes = weights + slots * (inputTokens + outputTokens / 2) * keyBytes;
    return [
      dtype,
      String(batch),
      String(inputTokens),
      slots.toFixed(1),
      (bytes / 1e6).toFixed(0),
      `${ms.toFixed(2)} ms`,
      percent(bytes / rate / ms),
    ];
  });
}

async function measure(
  model: T5Model,
  { batch, inputTokens }: (typeof cases)[number],
  repeats: number,
): Promise<StepTime> {
  await using session = await createSession({
    target: model,
    maxBatch: batch,
    maxInputTokens: inputTokens,
    maxNewTokens: outputTokens,
    suppressTokens: [1],
  });
  const inputs = Array.from({ length: batch }, (_, i) =>
    Array.from({ length: inputTokens }, (__, j) => 10 + ((97 * i + 31 * j) % 30000)),
  );
  const times: number[] = [];
  for (let turn = 0; turn < repeats; turn += 1) {
    const before = session.stats();
    await session.generate(inputs);
    const { decodeMs, steps: count } = session.stats();
    times.push((decodeMs - before.decodeMs) / (count - before.steps));
  }
  const { slotSteps, steps: count } = session.stats();
  return { ms: median(times), slots: slotSteps / count };
}
