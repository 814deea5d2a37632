/**
 * What a batch job costs beside the decoding (npm run bench:batch): texts against token ids, records
 * ordered by length against records as they come, jobs against session.generate. Bundled models,
 * medians of runs in turns, ratios within one turn. Nothing else should be running.
 *
 *   npm run bench:batch -- [--records 192] [--turns 7] [--max-batch 32] [--dtype f32]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { chain, createSession, runBatch, type Dtype } from '../lib/index.ts';
import { captions, loadBundled } from '../test/support/models.ts';
import { median } from '../lib/quantile.ts';
import { table } from './bench/table.ts';

const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '192' },
    turns: { type: 'string', default: '7' },
    'max-batch': { type: 'string', default: '32' },
    dtype: { type: 'string', default: 'f32' },
  },
});
const maxBatch = Number(values['max-batch']);
const dtype = values.dtype as Dtype;
await using target = await loadBundled('large', { dtype });
await using base = await loadBundled('base', { dtype });
await using session = await createSession({ target, draft: chain(base, { length: 4 }), maxBatch });

const texts = captions(Number(values.records));
/** One to four captions each, by a pattern with no long runs of one length. */
const mixed = texts.map((_, i) => texts.slice(i, i + 1 + (((i * 7) % 11) % 4)).join(' '));
const ids = (all: readonly string[]): number[][] =>
  all.map((text) => target.tokenizer!.encode(text));
const ofTexts = texts.map((text) => ({ text }));
const ofIds = ids(texts).map((text) => ({ text }));
const ofMixed = ids(mixed).map((text) => ({ text }));

const folder = await mkdtemp(path.join(tmpdir(), 'speccascade-bench-'));
const output = path.join(folder, 'out.jsonl');
async function job(input: readonly unknown[], orderByLength = false): Promise<number> {
  const begin = performance.now();
  const { tokens } = await runBatch({ session, input, output, orderByLength, overwrite: true });
  return (1000 * tokens) / (performance.now() - begin);
}
async function call(inputs: readonly number[][]): Promise<number> {
  const begin = performance.now();
  const results = await session.generate(inputs.map((input) => Int32Array.from(input)));
  const tokens = results.reduce((sum, result) => sum + result.tokens.length, 0);
  return (1000 * tokens) / (performance.now() - begin);
}

/** A run, and the one it is to be compared with. */
const runs: [string, string | null, () => Promise<number>][] = [
  ['ids, session.generate', null, () => call(ofIds.map(({ text }) => text))],
  ['ids, job', 'ids, session.generate', () => job(ofIds)],
  ['texts, job', 'ids, job', () => job(ofTexts)],
  ['texts by length, job', 'texts, job', () => job(ofTexts, true)],
  ['mixed lengths, job', null, () => job(ofMixed)],
  ['mixed by length, job', 'mixed lengths, job', () => job(ofMixed, true)],
];
const rates = new Map<string, number[]>(runs.map(([name]) => [name, []]));
try {
  for (let turn = -1; turn < Number(values.turns); turn += 1) {
    for (const [name, , run] of turn % 2 === 0 ? runs : runs.toReversed()) {
      const rate = await run();
      if (turn >= 0) rates.get(name)!.push(rate);
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
const rows = runs.map(([name, other]) => {
  const own = rates.get(name)!;
  if (other === null) return [name, median(own).toFixed(0), '', ''];
  const ratios = own.map((rate, i) => rate / rates.get(other)![i]!);
  return [name, median(own).toFixed(0), median(ratios).toFixed(3), other];
});
console.log(
  `${texts.length} records, maxBatch ${maxBatch}, ${target.dtype}, ${values.turns} turns\n`,
);
console.log(table(['run', 'tokens/s', 'median ratio', 'to'], rows));
const [, , ratio] = rows[2]!;
const reached = Number(ratio) >= 0.9;
console.log(`texts reach ${ratio} of ids: ${reached ? 'at least 0.90' : 'BELOW 0.90'}`);
process.exitCode = reached ? 0 : 1;
