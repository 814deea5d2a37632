/**
 * The law of sampled output at full length (npm run test:law): chi-square of 200,000 draws per case
 * through the engine against exact probabilities; docs/law-table.md says which rules with which ways
 * to draft and verify. Prints its table of normal deviates; exits with 1 if one is above 4.5 (a
 * chance of 1 in 300,000, for 178 cases).
 */
import { parseArgs } from 'node:util';
import { ruleCases, samplingCases } from '../test/support/law-cases.ts';
import {
  autoregressive,
  chiSquareDeviate,
  draw,
  ExactLaw,
  losslessMethods,
  methods,
  tokenCascade,
} from '../test/support/law.ts';
import { loadGolden } from '../test/support/models.ts';

const { values } = parseArgs({
  options: {
    draws: { type: 'string', default: '200000' },
    /** 'lossless': sampling options only; 'rules': the rules that weigh two models. */
    only: { type: 'string', default: 'all' },
    /** Laws and methods whose names match. */
    laws: { type: 'string', default: '' },
    methods: { type: 'string', default: '' },
  },
});
const draws = Number(values.draws);
// One thread: the models are too small to share.
const models = {
  target: await loadGolden('relu-tied', { threads: 1 }),
  drafter: await loadGolden('gated-untied', { threads: 1 }),
};
const exact = new ExactLaw(models);
const limit = 4.5;
let failed = 0;

console.log('| law | method | draws | acceptance | deferral | cells | normal deviate |');
console.log('| --- | --- | --- | --- | --- | --- | --- |');
const cases = [
  ...(values.only === 'rules' ? [] : samplingCases),
  ...(values.only === 'lossless' ? [] : ruleCases),
];
for (const one of cases.filter(({ name }) => new RegExp(values.laws).test(name))) {
  const law = await exact.of(one);
  const ways =
    one.rule.rule === 'lossless'
      ? [autoregressive, ...methods, ...losslessMethods]
      : [...methods, tokenCascade];
  const chosen = ways.filter(({ name }) => new RegExp(values.methods).test(name));
  for (const method of chosen) {
    const drawn = await draw(models, one, method, draws, 2024);
    const deviate = chiSquareDeviate(drawn.counts, law);
    failed += deviate < limit ? 0 : 1;
    console.log(
      `| ${one.name} | ${method.name} | ${draws} | ${drawn.acceptanceRate.toFixed(3)} | ` +
        `${drawn.deferralRate?.toFixed(3) ?? '-'} | ${law.size} | ${deviate.toFixed(2)} |`,
    );
  }
}
console.log(`\nlaw of sampled output: ${failed} cases out of bounds`);
process.exitCode = failed === 0 ? 0 : 1;
