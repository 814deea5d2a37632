/**
 * The law of sampled output at full length (npm run test:law): chi-square of 200,000 draws per case
 * through the engine against exact probabilities. Prints a Markdown table of normal deviates; exits
 * with 1 if one is above 4 (a chance of 1 in 30,000).
 */
import { parseArgs } from 'node:util';
import {
  chiSquareDeviate,
  drafterOf,
  drawnCounts,
  exactLaw,
  lawCases,
} from '../test/support/law.ts';
import { loadGolden } from '../test/support/models.ts';

const { values } = parseArgs({ options: { draws: { type: 'string', default: '200000' } } });
const draws = Number(values.draws);
const input = [17, 5, 99, 23, 1];
const target = await loadGolden('relu-tied');
const drafter = await loadGolden('gated-untied');
let failed = 0;

console.log('| case | gamma | draws | acceptance | cells | normal deviate |');
console.log('| --- | --- | --- | --- | --- | --- |');
for (const one of lawCases) {
  const law = await exactLaw(target, input, one);
  for (const gamma of [0, one.gamma]) {
    const draft = gamma > 0 ? drafterOf(drafter, gamma) : undefined;
    const drawn = await drawnCounts(target, draft, input, one, draws, 2024);
    const deviate = chiSquareDeviate(drawn.counts, law);
    failed += deviate < 4 ? 0 : 1;
    console.log(
      `| ${one.name} | ${gamma} | ${draws} | ${drawn.acceptanceRate.toFixed(3)} | ${law.size} | ` +
        `${deviate.toFixed(2)} |`,
    );
  }
}
console.log(`\nlaw of sampled output: ${failed} cases out of bounds`);
process.exitCode = failed === 0 ? 0 : 1;
