// Compiles lib/ to dist/ and keeps dist/ honest: files whose source is gone are removed and the
// command line is executable. With --if-possible (npm's prepare script) a missing compiler, as
// after `npm ci --omit=dev`, is no failure; with --if-changed nothing is compiled that is older than
// dist/.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const dist = path.join(root, 'dist');

function findCompiler() {
  try {
    return createRequire(import.meta.url).resolve('typescript/bin/tsc');
  } catch (error) {
    if (process.argv.includes('--if-possible')) return null;
    throw error;
  }
}

function removeOrphans() {
  for (const entry of readdirSync(dist, { recursive: true })) {
    const source = entry.replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts');
    if (source !== entry && !existsSync(path.join(root, 'lib', source))) {
      rmSync(path.join(dist, entry));
    }
  }
}

/** Whether everything that dist/ is made of is older than what the last compilation left. */
function upToDate() {
  const sources = readdirSync(path.join(root, 'lib'), { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => path.join('lib', name));
  const compiled = (name) => path.join(root, 'dist', name.slice(4).replace(/\.ts$/, '.js'));
  if (!sources.every((name) => existsSync(compiled(name)))) return false;
  const made = Math.min(...sources.map((name) => statSync(compiled(name)).mtimeMs));
  return [...sources, 'tsconfig.json', 'tsconfig.build.json'].every(
    (name) => statSync(path.join(root, name)).mtimeMs < made,
  );
}

if (process.argv.includes('--if-changed') && upToDate()) {
  removeOrphans();
  process.exit(0);
}
const compiler = findCompiler();
if (compiler === null) {
  console.error('speccascade: typescript is not installed, dist/ is left as it is');
  process.exit(0);
}
const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
if (status !== 0) process.exit(status ?? 1);
removeOrphans();
const cli = path.join(dist, 'cli.js');
if (existsSync(cli)) chmodSync(cli, 0o755);
