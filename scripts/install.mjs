// npm's install script: uses a prebuilt addon where one loads, else compiles. node-gyp is not
// asked for the compile, because it would fetch Node's headers that this build does not need.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');

// In a process of its own, so that a binary that crashes while loading is one that does not load.
function prebuildLoads() {
  const { status } = spawnSync(
    process.execPath,
    ['-e', 'require("node-gyp-build")(process.argv[1])', root],
    { cwd: root, stdio: 'ignore', env: { ...process.env, PREBUILDS_ONLY: '1' } },
  );
  return status === 0;
}

const forced = process.env.npm_config_build_from_source;
if ((forced === undefined || forced === 'false') && prebuildLoads()) process.exit(0);

const build = spawnSync(process.execPath, [path.join(root, 'scripts', 'build-native.mjs')], {
  cwd: root,
  stdio: 'inherit',
});
if (build.status !== 0) {
  console.error(
    `speccascade: no prebuilt addon fits ${process.platform}-${process.arch}, and compiling one ` +
      'failed (see above). It takes CMake 3.24 or newer and a C++20 compiler (g++ 12 or newer).',
  );
  process.exit(1);
}
