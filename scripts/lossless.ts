/**
 * The full lossless sweep (npm run test:lossless): greedy speculation against the target's own
 * greedy output on all captions of the test file, chains of 1 to 8 and trees, batch 1 and 16, both
 * drafters.
 * Prints a Markdown table; exits with 1 if any sentence differs.
 */
import { parseArgs } from 'node:util';
import { chains, losslessSweep, shapeName, trees } from '../test/support/lossless.ts';
import { captions, loadBundled } from '../test/support/models.ts';

const { values } = parseArgs({
  options: {
    sentences: { type: 'string', default: '1000' },
    dtype: { type: 'string', default: 'f32' },
    drafters: { type: 'string', default: 'base,small' },
  },
});
const dtype = values.dtype === 'bf16' ? 'bf16' : 'f32';
const texts = captions(Number(values.sentences));
const cases = [1, 16].flatMap((batch) =>
  [...chains, ...trees].map((widths) => ({ widths, batch })),
);
const target = await loadBundled('large', { dtype });
console.log(
  '| drafter | batch | shape | sentences | tokens | different | acceptance | tokens/call |',
);
console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
let different = 0;
for (const name of values.drafters.split(',')) {
  const drafter = await loadBundled(name, { dtype });
  for await (const outcome of losslessSweep(target, drafter, texts, cases)) {
    different += outcome.different.length;
    const { batch, widths, sentences, tokens, acceptanceRate, blockEfficiency } = outcome;
    console.log(
      `| ${name} | ${batch} | ${shapeName(widths)} | ${sentences} | ${tokens} | ${outcome.different.length} | ` +
        `${acceptanceRate.toFixed(3)} | ${blockEfficiency.toFixed(2)} |`,
    );
  }
}
console.log(`\nlossless sweep (${dtype}): ${different} of all outputs differ`);
process.exitCode = different === 0 ? 0 : 1;
