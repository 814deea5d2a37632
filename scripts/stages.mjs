// What `npm test` is made of: one function per stage, each returning how many checks passed,
// failed and were skipped (with a reason). scripts/test.mjs chooses, times and counts them.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const reports = path.join(root, 'build-cmake', 'reports');
const releaseDir = path.join('build-cmake', 'Release');
const sanitizeDir = path.join('build-cmake', 'Sanitize');
const environment = {
  ...process.env,
  PATH: [path.join(root, 'node_modules', '.bin'), process.env.PATH].join(path.delimiter),
};

const ok = { passed: 1, failed: 0, skipped: 0 };
const bad = { passed: 0, failed: 1, skipped: 0 };
const skip = (reason) => ({ passed: 0, failed: 0, skipped: 1, reason });

/** Runs a program with its output on ours; its exit code, null where it has none. */
function exitCode(program, args, env = {}) {
  const options = { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] };
  const { status, error } = spawnSync(program, args, {
    ...options,
    env: { ...environment, ...env },
  });
  if (error) console.error(String(error));
  return status;
}

const run = (...call) => exitCode(...call) === 0;

const check = (program, args) => (run(program, args) ? ok : bad);
const script = (name, ...args) =>
  check(process.execPath, [path.join(root, 'scripts', name), ...args]);

function installed(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore', env: environment }).status === 0;
}

function nativeFiles(extensions) {
  return readdirSync(path.join(root, 'native'), { recursive: true })
    .filter((name) => extensions.test(name))
    .map((name) => path.join('native', name))
    .sort();
}

function freshReport(name) {
  mkdirSync(reports, { recursive: true });
  const file = path.join(reports, name);
  rmSync(file, { force: true });
  return file;
}

/** A runner whose exit code says "failed" has failed, whatever its report counts. */
function counted(succeeded, counts) {
  if (!succeeded && counts.failed === 0) counts.failed = 1;
  return counts;
}

function ctest(dir, env) {
  const report = freshReport(`ctest-${path.basename(dir)}.xml`);
  const parallel = ['--parallel', String(os.availableParallelism())];
  const args = ['--test-dir', dir, '--output-on-failure', '--no-tests=error', ...parallel];
  const succeeded = run('ctest', [...args, '--output-junit', report], env);
  const xml = existsSync(report) ? readFileSync(report, 'utf8') : '';
  const suite = /<testsuite[^>]*>/.exec(xml);
  const value = (name) =>
    Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite?.[0] ?? '')?.[1] ?? 0);
  const failed = value('failures');
  const skipped = value('skipped') + value('disabled');
  const passed = value('tests') - failed - skipped;
  const failures = [...xml.matchAll(/<testcase name="([^"]+)"[^>]*status="fail"/g)].map(
    ([, name]) => name,
  );
  return counted(succeeded, { passed, failed, skipped, failures });
}

function vitest({ node = process.execPath, files = [], config = 'vitest.config.ts' } = {}) {
  const name = config.replace('.config.ts', '').replaceAll('/', '-');
  const report = freshReport(files.length > 0 ? `${name}-some.json` : `${name}.json`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const program = path.join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const succeeded = run(node, [program, 'run', '--config', config, ...reporters, ...files]);
  const json = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : {};
  return counted(succeeded, {
    passed: json.numPassedTests ?? 0,
    failed: json.numFailedTests ?? 0,
    skipped: (json.numPendingTests ?? 0) + (json.numTodoTests ?? 0),
    failures: (json.testResults ?? []).flatMap(vitestFailures),
  });
}

/** What failed in one file of vitest's report: its tests, or the file itself. */
function vitestFailures({ name, status, message, assertionResults }) {
  const file = path.relative(root, name);
  const headline = (text) => text.split('\n', 1)[0];
  const tests = assertionResults.filter((test) => test.status === 'failed');
  if (tests.length === 0) return status === 'failed' ? [`${file}: ${headline(message)}`] : [];
  return tests.map(
    ({ fullName, failureMessages }) =>
      `${file}: ${fullName}: ${headline(failureMessages[0] ?? '')}`,
  );
}

/**
 * What differs between releases of Node: how environments end, and what is compressed. The newer one
 * comes from the registry.
 */
function newerNode() {
  const major = 24;
  const name = `node-${process.platform}-${process.arch}`;
  const folder = path.join(root, 'build-cmake', 'newer-node');
  const quiet = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts'];
  if (!run('npm', ['install', ...quiet, '--prefix', folder, `${name}@${major}`])) {
    return skip(`the registry does not give ${name}@${major}`);
  }
  const files = ['worker', 'lifetime', 'batch'].map((test) => `test/${test}.test.ts`);
  return vitest({ node: path.join(folder, 'node_modules', name, 'bin', 'node'), files });
}

function clangFormat({ fix }) {
  if (!installed('clang-format')) return skip('clang-format is not installed');
  const mode = fix ? ['-i'] : ['--dry-run', '-Werror'];
  return check('clang-format', [...mode, ...nativeFiles(/\.(cpp|h|cu|cuh)$/)]);
}

/** One compile command per C++ source; of the copies of a SIMD source the AVX2 one. */
function tidyCommands() {
  const all = JSON.parse(
    readFileSync(path.join(root, releaseDir, 'compile_commands.json'), 'utf8'),
  );
  const chosen = new Map();
  for (const entry of all) {
    if (!entry.file.endsWith('.cpp') || !entry.file.startsWith(path.join(root, 'native'))) continue;
    if (!chosen.has(entry.file) || entry.command.includes('ISA_AVX2=')) {
      chosen.set(entry.file, entry);
    }
  }
  return [...chosen.values()];
}

/** Diagnostics of one file; those in headers come again with every file that includes them. */
function printNew(output, seen) {
  for (const block of output.split(/^(?=\S+:\d+:\d+: (?:error|warning): )/m)) {
    const headline = block.split('\n', 1)[0];
    if (!seen.has(headline)) console.log(block.trimEnd());
    seen.add(headline);
  }
}

function tidyOne(file, seen) {
  return new Promise((resolve) => {
    // The flags are g++'s.
    const flags = ['-Wno-unknown-warning-option', '-Wno-unused-command-line-argument'];
    const extra = flags.map((flag) => `--extra-arg=${flag}`);
    const args = ['-p', reports, '--quiet', ...extra, file];
    const child = spawn('clang-tidy', args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let complaints = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (complaints += chunk));
    child.on('close', (status) => {
      if (status !== 0) printNew(output === '' ? complaints : output, seen);
      resolve(status === 0);
    });
  });
}

async function clangTidy() {
  if (!installed('clang-tidy')) return skip('clang-tidy is not installed');
  if (!existsSync(path.join(root, releaseDir, 'compile_commands.json'))) {
    return skip('no compile_commands.json: run build-native first');
  }
  const commands = tidyCommands();
  mkdirSync(reports, { recursive: true });
  writeFileSync(path.join(reports, 'compile_commands.json'), JSON.stringify(commands));
  const queue = commands.map((entry) => entry.file);
  const seen = new Set();
  let clean = true;
  async function work() {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      if (!(await tidyOne(file, seen))) clean = false;
    }
  }
  await Promise.all([work(), work()]);
  console.log(`clang-tidy: ${commands.length} files`);
  return clean ? ok : bad;
}

function sanitize() {
  const definitions = [
    '-DSPECCASCADE_TESTS=ON',
    '-DSPECCASCADE_CUDA=OFF',
    '-DSPECCASCADE_SANITIZE=address,undefined',
    '-DCMAKE_BUILD_TYPE=Release',
    '-DCMAKE_CXX_FLAGS_RELEASE=-O1', // asserts stay on
  ];
  const generator = installed('ninja') ? ['-G', 'Ninja'] : [];
  const built =
    run('cmake', ['-S', '.', '-B', sanitizeDir, ...generator, ...definitions]) &&
    run('cmake', ['--build', sanitizeDir, '--parallel', '2']);
  return built ? ctest(sanitizeDir, { UBSAN_OPTIONS: 'print_stacktrace=1' }) : bad;
}

/** A short, repeatable run of what `npm run fuzz` does for as long as one likes. */
function fuzz() {
  const args = ['scripts/fuzz.ts', '--runs', '100000', '--seed', '1'];
  if (!run('tsx', [...args, '--only', 'text'])) return bad;
  const native = exitCode('tsx', [...args, '--only', 'native']);
  if (native === 77)
    return { ...ok, skipped: 1, reason: 'the native part: clang++ is not installed' };
  return native === 0 ? { ...ok, passed: 2 } : bad;
}

function packaging() {
  const report = freshReport('packaging.json');
  const succeeded = run(process.execPath, ['scripts/check-packaging.mjs', '--report', report]);
  const none = { passed: 0, failed: 0, skipped: 0 };
  return counted(succeeded, existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : none);
}

/** Examples with dependencies of their own: installed as their lockfiles say, then tested. */
function examples() {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const name of readdirSync(path.join(root, 'examples')).sort()) {
    const folder = path.join('examples', name);
    if (!existsSync(path.join(root, folder, 'package.json'))) continue;
    console.log(`-- ${folder}`);
    const passed =
      run('npm', ['ci', '--no-audit', '--no-fund', '--prefix', folder]) &&
      run('npm', ['test', '--prefix', folder]);
    counts[passed ? 'passed' : 'failed']++;
  }
  return counts;
}

/** Registers, shared memory and spills of the CUDA kernels. */
function kernels() {
  if (!installed('nvcc')) return skip('nvcc is not on the PATH');
  const report = freshReport('kernels.json');
  const succeeded = script('check-kernels.mjs', '--report', report) === ok;
  const none = { passed: 0, failed: 0, skipped: 0 };
  return counted(succeeded, existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : none);
}

function isaSymbols() {
  if (!installed('nm')) return skip('nm is not installed');
  return script('check-isa-symbols.mjs', releaseDir);
}

/** In the order they run. `all`: only with --all. `needs`: not run after that stage failed. */
export const stages = [
  { name: 'build-native', run: () => script('build-native.mjs', '--tests') },
  { name: 'build-ts', run: () => script('build-ts.mjs') },
  {
    name: 'prettier',
    run: ({ fix }) => check('prettier', [fix ? '--write' : '--check', '--log-level=warn', '.']),
  },
  {
    name: 'eslint',
    run: ({ fix }) => check('eslint', ['--max-warnings=0', ...(fix ? ['--fix'] : []), '.']),
  },
  { name: 'types', run: () => check('tsc', ['--noEmit']) },
  { name: 'clang-format', run: clangFormat },
  { name: 'layers', run: () => script('check-layers.mjs') },
  { name: 'isa-symbols', needs: 'build-native', run: isaSymbols },
  { name: 'kernels', all: true, run: kernels },
  { name: 'clang-tidy', all: true, run: clangTidy },
  { name: 'ctest', needs: 'build-native', run: () => ctest(releaseDir, {}) },
  { name: 'vitest', needs: 'build-native', run: () => vitest() },
  { name: 'newer-node', all: true, needs: 'build-native', run: newerNode },
  {
    name: 'device',
    needs: 'build-native',
    run: () => vitest({ config: 'test/device/vitest.config.ts' }),
  },
  { name: 'examples', all: true, needs: 'build-native', run: examples },
  { name: 'sanitize', all: true, run: sanitize },
  { name: 'fuzz', all: true, run: fuzz },
  { name: 'packaging', all: true, run: packaging },
];
