// The one test command. Runs the stages of scripts/stages.mjs in order, goes on after a failure,
// and ends with what failed and the counts, these alone on the last line; the exit code is 0 only if
// nothing failed.
//
//   npm test                                everything a change has to pass
//   npm test -- --all                       also the stages marked `all` in stages.mjs (as CI)
//   node scripts/test.mjs [--fix] STAGE...  these stages only
import { parseArgs } from 'node:util';
import { stages } from './stages.mjs';

const { values: options, positionals: names } = parseArgs({
  options: {
    all: { type: 'boolean', default: false },
    fix: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

function chooseStages() {
  if (names.length === 0) return stages.filter((stage) => options.all || !stage.all);
  const unknown = names.filter((name) => !stages.some((stage) => stage.name === name));
  if (unknown.length > 0) {
    const known = stages.map((stage) => stage.name).join(', ');
    throw new Error(`unknown stage ${unknown.join(', ')}; there are: ${known}`);
  }
  return stages.filter((stage) => names.includes(stage.name));
}

function describe(result) {
  const counts = `${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped`;
  return result.reason ? `${counts} (${result.reason})` : counts;
}

async function runStage(stage, failedStages) {
  console.log(`\n== ${stage.name}`);
  const start = process.hrtime.bigint();
  let result;
  if (failedStages.has(stage.needs)) {
    result = { passed: 0, failed: 1, skipped: 0, reason: `needs ${stage.needs}, which failed` };
  } else {
    result = await stage.run(options);
  }
  const seconds = (Number(process.hrtime.bigint() - start) / 1e9).toFixed(1);
  const verdict = result.failed > 0 ? 'FAILED' : result.passed > 0 ? 'ok' : 'skipped';
  const line = `-- ${stage.name}: ${verdict} in ${seconds} s: ${describe(result)}`;
  console.log(line);
  return { ...result, line };
}

const failedStages = new Set();
const lines = [];
const failures = [];
const total = { passed: 0, failed: 0, skipped: 0 };
for (const stage of chooseStages()) {
  const result = await runStage(stage, failedStages);
  if (result.failed > 0) failedStages.add(stage.name);
  lines.push(result.line);
  for (const failure of result.failures ?? []) failures.push(`FAILED ${stage.name}: ${failure}`);
  for (const key of Object.keys(total)) total[key] += result[key];
}
console.log(`\n== summary\n${[...lines, ...failures].join('\n')}\n\n${describe(total)}`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
