// Proves what the package promises to those who install it: every way of building yields a
// loadable addon, and the packed tarball works in an empty project from its prebuild and from
// source, with and without nvcc, for import, require(), TypeScript and the command line.
// Everything happens in a copy under the system's temporary folder.
//
//   node scripts/check-packaging.mjs [--report FILE] [--keep]
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { consumerFiles } from './packaging-consumer.mjs';

const { values: options } = parseArgs({
  options: { report: { type: 'string' }, keep: { type: 'boolean', default: false } },
});
const root = path.resolve(import.meta.dirname, '..');
const work = fs.mkdtempSync(path.join(tmpdir(), 'speccascade-packaging-'));
const checkout = path.join(work, 'checkout');
const nodeModules = path.join(root, 'node_modules');
// Which architectures are compiled has nothing to do with packaging: those that the other stages were
// built for, which a ccache then holds, or else one.
const architectures =
  /-DCMAKE_CUDA_ARCHITECTURES=\S+/.exec(process.env.SPECCASCADE_CMAKE_ARGS ?? '')?.[0] ??
  '-DCMAKE_CUDA_ARCHITECTURES=80-real';
const counts = { passed: 0, failed: 0, skipped: 0 };

class Skip extends Error {}

/** Directories of PATH, those that hold `program` replaced by links to everything else in them. */
function pathWithout(program) {
  const dirs = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean);
  return dirs
    .map((dir, index) => {
      if (!fs.existsSync(path.join(dir, program))) return dir;
      const links = path.join(work, `path-without-${program}-${index}`);
      if (fs.existsSync(links)) return links;
      fs.mkdirSync(links);
      for (const name of fs.readdirSync(dir)) {
        if (name !== program) fs.symlinkSync(path.join(dir, name), path.join(links, name));
      }
      return links;
    })
    .join(path.delimiter);
}

/** Ours, less what an outer npm and the caller's build options would change in the inner ones. */
const cleanEnvironment = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) =>
      !/^(npm_(package|lifecycle)_|npm_config_(local_prefix|loglevel)$|INIT_CWD$)/.test(name) &&
      !/^(SPECCASCADE_|CUDACXX$|CUDA_PATH$|PREBUILDS_ONLY$)/.test(name),
  ),
);
// Under a ccache, sources are the same wherever they lie, at the same depth.
cleanEnvironment.CCACHE_BASEDIR = work;

/** Runs a program and returns its output; an exit code that is not `status` throws with it. */
function run(program, args, { cwd, env = {}, status: expected = 0 }) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    env: { ...cleanEnvironment, ...env },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (error) throw error;
  const output = `${stdout}\n${stderr}`;
  if (status !== expected) {
    const tail = output.trim().split('\n').slice(-60).join('\n');
    throw new Error(`${program} ${args.join(' ')} exited with ${status}:\n${tail}`);
  }
  return output;
}

const node = (args, where) => run(process.execPath, args, where);
const npm = (args, where) => run('npm', [...args, '--no-audit', '--no-fund'], where);
const bin = (name, from = root) => path.join(from, 'node_modules', '.bin', name);

/** The addon at this path loads and answers. */
function loads(file) {
  if (!fs.existsSync(file)) throw new Error(`${path.relative(work, file)} was not built`);
  const code =
    'const kinds = require(process.argv[1]).devices().map((device) => device.kind);' +
    'if (!kinds.includes("cpu")) throw new Error(`devices: ${kinds}`);';
  node(['-e', code, file], { cwd: work });
}

/** What a commit of the working tree would hold: tracked files and new ones not ignored. */
function copyCheckout() {
  const list = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  for (const name of list.split('\0').filter(Boolean)) {
    if (!fs.existsSync(path.join(root, name))) continue;
    fs.mkdirSync(path.join(checkout, path.dirname(name)), { recursive: true });
    fs.copyFileSync(path.join(root, name), path.join(checkout, name));
  }
  // Not a link: a ccache knows headers by their paths from the build's folder.
  fs.cpSync(nodeModules, path.join(checkout, 'node_modules'), {
    recursive: true,
    verbatimSymlinks: true,
  });
}

function buildWithCmakeJs() {
  // As deep in the tree as other builds, again for the ccache.
  const out = path.join(checkout, 'build-cmake', 'alone');
  const cmakeJs = bin('cmake-js', checkout);
  const args = ['build', '-O', out, '--parallel', '2', '--CDSPECCASCADE_CUDA=OFF'];
  node([cmakeJs, ...args], { cwd: checkout });
  loads(path.join(out, 'Release', 'speccascade.node'));
}

/** npm's own node-gyp, and a folder with Node's headers, since it insists on having them. */
function findNodeGyp() {
  const npmCli =
    process.env.npm_execpath ?? fs.realpathSync(execFileSync('which', ['npm']).toString().trim());
  const nodeGyp = createRequire(npmCli).resolve('node-gyp/bin/node-gyp.js');
  const prefix = path.resolve(path.dirname(process.execPath), '..');
  if (!fs.existsSync(path.join(prefix, 'include', 'node', 'node_api.h'))) {
    throw new Skip('node-gyp wants Node headers, and this installation of Node has none');
  }
  return [nodeGyp, `--nodedir=${prefix}`];
}

function buildWithNodeGyp() {
  const [nodeGyp, nodedir] = findNodeGyp();
  const env = { SPECCASCADE_CMAKE_ARGS: architectures };
  node([nodeGyp, 'rebuild', nodedir], { cwd: checkout, env });
  loads(path.join(checkout, 'build', 'Release', 'speccascade.node'));
}

function buildWithPrebuildify() {
  const env = { SPECCASCADE_CMAKE_ARGS: architectures };
  npm(['run', 'prebuild'], { cwd: checkout, env });
  const dir = path.join(checkout, 'prebuilds', `${process.platform}-${process.arch}`);
  const built = fs.readdirSync(dir);
  if (built.length !== 1) throw new Error(`prebuilds: ${built.join(', ')}`);
  loads(path.join(dir, built[0]));
}

/** The tarball as it would be published, and one without its prebuilds. */
function pack() {
  npm(['pack', '--pack-destination', work], { cwd: checkout });
  const name = fs.readdirSync(work).find((file) => file.endsWith('.tgz'));
  fs.renameSync(path.join(work, name), path.join(work, 'full.tgz'));
  run('tar', ['-xzf', 'full.tgz'], { cwd: work });
  const files = fs.readdirSync(path.join(work, 'package'), { recursive: true });
  for (const wanted of [
    'dist/index.js',
    'dist/index.d.ts',
    'dist/cli.js',
    'LICENSE',
    'README.md',
  ]) {
    if (!files.includes(wanted)) throw new Error(`the tarball lacks ${wanted}`);
  }
  const stray = files.filter((file) =>
    /^(test|native\/(test|bench|fuzz|emulation)|build)/.test(file),
  );
  if (stray.length > 0) throw new Error(`the tarball holds ${stray.slice(0, 3).join(', ')}`);
  fs.rmSync(path.join(work, 'package', 'prebuilds'), { recursive: true });
  run('tar', ['-czf', 'source.tgz', 'package'], { cwd: work });
}

function newConsumer(name) {
  const dir = path.join(work, name);
  fs.mkdirSync(dir);
  for (const [file, text] of Object.entries(consumerFiles)) {
    fs.writeFileSync(path.join(dir, file), text);
  }
  return dir;
}

function installed(dir, ...parts) {
  return path.join(dir, 'node_modules', 'speccascade', ...parts);
}

/** import, require() and the command line give the same text, and the types fit. */
function usePackage(dir) {
  const imported = node(['use.mjs'], { cwd: dir }).trim();
  const required = node(['use.cjs'], { cwd: dir }).trim();
  if (imported !== required) throw new Error(`import: ${imported}\nrequire: ${required}`);
  const cli = path.join(dir, 'node_modules', '.bin', 'speccascade');
  run(cli, ['generate', 'A man is riding a bicycle.'], { cwd: dir });
  const typeRoots = path.join(nodeModules, '@types');
  for (const project of ['tsconfig.json', 'tsconfig.node10.json']) {
    node([bin('tsc'), '-p', project, '--typeRoots', typeRoots], { cwd: dir });
  }
}

function useFromPrebuild() {
  const dir = newConsumer('from-prebuild');
  npm(['install', '--ignore-scripts', path.join(work, 'full.tgz')], { cwd: dir });
  if (fs.existsSync(installed(dir, 'build'))) throw new Error('something was compiled');
  usePackage(dir);
}

/** Whether the addon's build in this project had CUDA. */
function builtWithCuda(dir) {
  const commands = installed(dir, 'build-cmake', 'Release', 'compile_commands.json');
  return fs.readFileSync(commands, 'utf8').includes('cuda_device.cu');
}

/** Without its binary the package says what to run, and that command mends it. */
function useFromSourceWithNvcc() {
  if (spawnSync('nvcc', ['--version']).status !== 0) throw new Skip('nvcc is not on the PATH');
  const dir = newConsumer('from-source');
  npm(['install', '--ignore-scripts', path.join(work, 'source.tgz')], { cwd: dir });
  const complaint = node(['without-addon.mjs'], { cwd: dir, status: 1 });
  for (const word of ['ERR_DEVICE', 'npm rebuild speccascade']) {
    if (!complaint.includes(word)) throw new Error(`no ${word} in: ${complaint}`);
  }
  npm(['rebuild', 'speccascade'], { cwd: dir, env: { SPECCASCADE_CMAKE_ARGS: architectures } });
  if (!builtWithCuda(dir)) throw new Error('nvcc is on the PATH, but CUDA was not compiled in');
  usePackage(dir);
}

function useFromSourceWithoutNvcc() {
  const dir = newConsumer('from-source-without-nvcc');
  const env = { PATH: pathWithout('nvcc') };
  npm(['install', path.join(work, 'source.tgz')], { cwd: dir, env });
  if (builtWithCuda(dir)) throw new Error('CUDA was compiled in without nvcc');
  usePackage(dir);
}

function failWithoutCmake() {
  const dir = newConsumer('without-cmake');
  const env = { PATH: pathWithout('cmake') };
  const output = npm(['install', path.join(work, 'source.tgz')], { cwd: dir, env, status: 1 });
  if (!output.includes('It takes CMake')) throw new Error(`the error does not help: ${output}`);
}

const checks = [
  ['the checkout is copied', copyCheckout],
  ['cmake-js alone builds a loadable addon', buildWithCmakeJs],
  ['node-gyp rebuild builds a loadable addon', buildWithNodeGyp],
  ['prebuildify builds a loadable addon', buildWithPrebuildify],
  ['npm pack packs what is needed and no more', pack],
  ['an empty project runs from the prebuild, without install scripts', useFromPrebuild],
  ['an empty project builds from source with nvcc', useFromSourceWithNvcc],
  ['an empty project builds from source without nvcc', useFromSourceWithoutNvcc],
  ['without CMake the install says what is missing', failWithoutCmake],
];

for (const [name, check] of checks) {
  const start = Date.now();
  let verdict = 'passed';
  let detail = '';
  try {
    check();
  } catch (error) {
    verdict = error instanceof Skip ? 'skipped' : 'failed';
    detail = `: ${error.message}`;
  }
  counts[verdict] += 1;
  console.log(`${verdict} (${((Date.now() - start) / 1000).toFixed(0)} s): ${name}${detail}`);
}
if (options.report) fs.writeFileSync(options.report, JSON.stringify(counts));
if (options.keep) console.log(`kept: ${work}`);
else fs.rmSync(work, { recursive: true, force: true });
process.exitCode = counts.failed > 0 ? 1 : 0;
