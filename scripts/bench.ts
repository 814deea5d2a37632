/**
 * What the CPU backend reaches (npm run bench): passes, the encoder and speculation against measured
 * ceilings of this machine, as Markdown on standard output or in --output FILE. Medians of runs in
 * turns; ratios within one run. Nothing else should be running.
 *
 *   npm run bench -- [--threads N] [--repeats N] [--output docs/benchmarks/cpu.md] [--only a,b,...]
 */
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { bundledModels, randomPair } from './bench/speculation.ts';
import { ceilings } from './bench/ceilings.ts';
import { encoder, operations, passes } from './bench/passes.ts';
import { steps } from './bench/steps.ts';
import { throughput } from './bench/throughput.ts';

const { values } = parseArgs({
  options: {
    threads: { type: 'string', default: String(os.availableParallelism()) },
    repeats: { type: 'string', default: '9' },
    output: { type: 'string' },
    only: { type: 'string', default: 'passes,encoder,steps,operations,bundled,random,throughput' },
  },
});
const threads = Number(values.threads);
const repeats = Number(values.repeats);
const chosen = new Set(values.only.split(','));
const lines: string[] = [];

function print(text: string): void {
  lines.push(text);
  process.stdout.write(`${text}\n`);
}

print('# The CPU backend, measured\n');
print('Written by `npm run bench`; `scripts/bench` says how each number comes about.\n');
const limits = ceilings(threads, print);
if (chosen.has('passes')) await passes(limits, repeats, print);
if (chosen.has('encoder')) await encoder(limits, repeats, print);
if (chosen.has('steps')) await steps(limits, repeats, print);
if (chosen.has('operations')) operations(limits, repeats, print);
if (chosen.has('bundled')) await bundledModels(limits, repeats, print);
if (chosen.has('random')) await randomPair(limits, repeats, print);
if (chosen.has('throughput')) await throughput(limits, repeats, print);
if (values.output !== undefined) writeFileSync(values.output, `${lines.join('\n')}\n`);
