/**
 * Coverage-guided fuzzing of everything that reads a checkpoint (npm run fuzz):
 *
 *   npm run fuzz -- --runs 10000000      as many runs of every target
 *   npm run fuzz -- --minutes 30         as long, shared by the targets
 *   npm run fuzz -- --only text|native   the TypeScript parsers; the native table and configuration
 *   npm run fuzz -- --seed 7             the same run again (random and printed by default)
 *
 * The native part is libFuzzer with the address and undefined-behaviour sanitizers, built by clang
 * into build-cmake/Fuzz; without clang it is skipped, with the reason, and --only native ends with 77.
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { explore, FuzzFailure } from '../test/support/fuzz/explore.ts';
import { textTargets } from '../test/support/fuzz/targets.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string' },
    minutes: { type: 'string' },
    only: { type: 'string', default: 'all' },
    seed: { type: 'string' },
  },
});
const root = path.resolve(import.meta.dirname, '..');
const buildFolder = path.join('build-cmake', 'Fuzz');
const seed = Number(values.seed ?? randomInt(1, 2 ** 31));
const minutes = values.minutes === undefined ? undefined : Number(values.minutes);
const runs = Number(values.runs ?? (minutes === undefined ? 1_000_000 : Infinity));
for (const [name, value] of Object.entries({ runs, minutes: minutes ?? 1, seed })) {
  if (!(value > 0)) throw new Error(`--${name}: expected a number above 0`);
}
if (!['all', 'text', 'native'].includes(values.only)) {
  throw new Error(`--only: expected all, text or native, received "${values.only}"`);
}
const wantsText = values.only !== 'native';
const wantsNative = values.only !== 'text';
console.log(`seed ${seed}`);

async function fuzzText(): Promise<boolean> {
  const { targets, counters } = await textTargets();
  const share = targets.length + (wantsNative ? targets.length : 0);
  for (const target of targets) {
    const start = Date.now();
    const deadline = minutes === undefined ? Infinity : start + (minutes * 60_000) / share;
    try {
      const result = explore(target, counters, { runs, seed, deadline });
      console.log(
        `text, ${target.name}: ${result.runs} runs in ${((Date.now() - start) / 1000).toFixed(0)} s, ` +
          `${result.accepted} accepted, ${result.refused} refused, ${result.kept} inputs kept, ` +
          `${result.branches.size} branches`,
      );
    } catch (error) {
      if (!(error instanceof FuzzFailure)) throw error;
      console.error(error.message, error.cause);
      return false;
    }
  }
  return true;
}

function run(program: string, args: string[]): boolean {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (error) console.error(String(error));
  return status === 0;
}

/** null: skipped. */
function fuzzNative(): boolean | null {
  // Debian installs a versioned name beside the plain one, which other packages provide.
  const compilers = ['clang++', ...[20, 19, 18, 17, 16, 15, 14].map((n) => `clang++-${n}`)];
  const clang = compilers.find((name) => spawnSync(name, ['--version']).status === 0);
  if (clang === undefined) {
    console.log('native: skipped, clang++ is not installed');
    return null;
  }
  const ninja = spawnSync('ninja', ['--version']).status === 0 ? ['-G', 'Ninja'] : [];
  const definitions = ['-DSPECCASCADE_FUZZ=ON', '-DSPECCASCADE_CUDA=OFF'];
  definitions.push('-DCMAKE_BUILD_TYPE=Release', '-DCMAKE_CXX_FLAGS_RELEASE=-O1');
  const compiler = `-DCMAKE_CXX_COMPILER=${clang}`;
  const configure = ['-S', '.', '-B', buildFolder, ...ninja, compiler, ...definitions];
  const build = ['--build', buildFolder, '--target', 'load_fuzz', '--parallel', '2'];
  if (!run('cmake', configure) || !run('cmake', build)) return false;
  // New inputs go to the first folder; what breaks is left beside it.
  const corpus = path.join(buildFolder, 'corpus');
  mkdirSync(path.join(root, corpus), { recursive: true });
  const limits = Number.isFinite(runs) ? [`-runs=${runs}`] : [];
  if (minutes !== undefined) {
    limits.push(`-max_total_time=${Math.ceil((minutes * 60) / (wantsText ? 2 : 1))}`);
  }
  const options = ['-max_len=1024', '-timeout=10', '-rss_limit_mb=4096', '-print_final_stats=1'];
  const artifacts = `-artifact_prefix=${buildFolder}/`;
  return run(path.join(root, buildFolder, 'load_fuzz'), [
    ...[corpus, `-seed=${seed}`, ...options, '-verbosity=0', artifacts, ...limits],
  ]);
}

const textHeld = !wantsText || (await fuzzText());
const nativeHeld = !wantsNative || fuzzNative();
const held = textHeld && nativeHeld !== false;
console.log(held ? '\nfuzz: nothing broke' : '\nfuzz: FAILED');
const nothingRan = nativeHeld === null && !wantsText;
process.exitCode = !held ? 1 : nothingRan ? 77 : 0;
