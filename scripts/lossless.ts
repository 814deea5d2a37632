/**
 * The full lossless sweep (npm run test:lossless): greedy speculation against the target's own
 * greedy output on all captions of the test file, every drafter, shape and verifier, batch 1 and
 * 16. --drafters: groups with commas between them; the models of a group, with + between them,
 * draft in that order. --methods: those whose names match. Prints a Markdown table; exits with 1 if any sentence differs.
 */
import { parseArgs } from 'node:util';
import { losslessMethods, losslessSweep } from '../test/support/lossless.ts';
import { captions, loadBundled } from '../test/support/models.ts';

const { values } = parseArgs({
  options: {
    sentences: { type: 'string', default: '1000' },
    dtype: { type: 'string', default: 'f32' },
    drafters: { type: 'string', default: 'base+small,small' },
    batches: { type: 'string', default: '1,16' },
    methods: { type: 'string', default: '' },
  },
});
const dtype = values.dtype === 'bf16' ? 'bf16' : 'f32';
const batches = values.batches.split(',').map(Number);
const texts = captions(Number(values.sentences));
const target = await loadBundled('large', { dtype });
console.log(
  '| drafters | batch | method | sentences | tokens | different | acceptance | tokens/call |',
);
console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
let different = 0;
for (const group of values.drafters.split(',')) {
  const [first, ...smaller] = await Promise.all(
    group.split('+').map((name) => loadBundled(name, { dtype })),
  );
  const all = losslessMethods(first!, ...smaller);
  const methods = all.filter(({ name }) => new RegExp(values.methods).test(name));
  for await (const outcome of losslessSweep(target, texts, methods, batches)) {
    different += outcome.different.length;
    const { batch, method, sentences, tokens, acceptanceRate, blockEfficiency } = outcome;
    console.log(
      `| ${group} | ${batch} | ${method.name} | ${sentences} | ${tokens} | ` +
        `${outcome.different.length} | ${acceptanceRate.toFixed(3)} | ${blockEfficiency.toFixed(2)} |`,
    );
  }
}
console.log(`\nlossless sweep (${dtype}): ${different} of all outputs differ`);
process.exitCode = different === 0 ? 0 : 1;
