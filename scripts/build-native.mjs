// The one entry for every build of the addon: npm scripts, the install script, node-gyp and
// prebuildify (through binding.gyp) all end here, and this ends in CMakeLists.txt. It configures
// every time, because cmake-js never reconfigures an existing cache.
//
//   node scripts/build-native.mjs [--config Release|Debug] [--dest DIR] [--name NAME] [--tests]
//                                 [--emulated-device] [--laws]
//
// --name gives the CMake directory (build-cmake/NAME) another name than the configuration's;
// --emulated-device builds a second addon, for tests, into its folder emulated-device; --laws builds
// the exact laws that tests and `npm run vectors` load, speccascade_laws.node (where that is, every
// build renews it); --tests builds both and the C++ tests. SPECCASCADE_CMAKE_ARGS holds further
// -DNAME=VALUE, space separated.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const root = path.resolve(import.meta.dirname, '..');
const { values: options } = parseArgs({
  options: {
    config: { type: 'string', default: 'Release' },
    dest: { type: 'string' },
    name: { type: 'string' },
    tests: { type: 'boolean', default: false },
    'emulated-device': { type: 'boolean', default: false },
    laws: { type: 'boolean', default: false },
  },
});

// Outside build/, which node-gyp empties on every rebuild.
const out = path.join(root, 'build-cmake', options.name ?? options.config);
const cmakeJs = path.join(
  path.dirname(createRequire(import.meta.url).resolve('cmake-js/package.json')),
  'bin',
  'cmake-js',
);

function cmake(verb, args) {
  const common = ['-d', root, '-O', out, '-B', options.config];
  const { status, error } = spawnSync(process.execPath, [cmakeJs, verb, ...common, ...args], {
    stdio: 'inherit',
    cwd: root,
  });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

const emulated = options.tests || options['emulated-device'];
const laws = options.laws || existsSync(path.join(out, 'speccascade_laws.node'));
const definitions = [
  // Said every time, or the cache would keep what an earlier build was asked for.
  'SPECCASCADE_CUDA=AUTO',
  'SPECCASCADE_SANITIZE=OFF',
  'SPECCASCADE_WERROR=OFF',
  `SPECCASCADE_EMULATED_DEVICE=${emulated ? 'ON' : 'OFF'}`,
  `SPECCASCADE_LAWS=${laws ? 'ON' : 'OFF'}`,
  // cmake-js would choose build-cmake/NAME/CONFIG for a NAME of our own.
  `CMAKE_LIBRARY_OUTPUT_DIRECTORY=${out}`,
];
if (options.tests) definitions.push('SPECCASCADE_TESTS=ON');
const given = (process.env.SPECCASCADE_CMAKE_ARGS ?? '').split(' ').filter(Boolean);
for (const argument of given) definitions.push(argument.replace(/^-D/, ''));

const targets = ['speccascade'];
if (emulated) targets.push('speccascade_on_emulated_device');
if (laws) targets.push('speccascade_laws');
cmake(
  'configure',
  definitions.map((definition) => `--CD${definition}`),
);
const parallel = ['--parallel', String(availableParallelism())];
if (options.tests) cmake('build', parallel);
else for (const target of targets) cmake('build', [...parallel, '--target', target]);

// Renaming replaces the file in one step: a process that has the old addon mapped keeps it.
const built = path.join(out, 'speccascade.node');
if (!existsSync(built)) throw new Error(`the build left no ${built}`);
const dest = path.resolve(root, options.dest ?? path.join('build', options.config));
mkdirSync(dest, { recursive: true });
copyFileSync(built, path.join(dest, 'speccascade.node.new'));
renameSync(path.join(dest, 'speccascade.node.new'), path.join(dest, 'speccascade.node'));
