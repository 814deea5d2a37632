/**
 * The table of methods (npm run table:methods): sweeps the methods of examples/captions/methods.txt
 * on the bundled models and captions, and puts the tables and the plot of calls into docs/. Interrupted, the
 * same command goes on; `-- --fresh` begins anew, other options of `speccascade sweep` come last.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const out = path.join(root, 'build-cmake', 'methods-table');
const page = path.join(root, 'docs', 'methods-table.md');
/** Not that of latency, which is another one on every machine. */
const plots = ['calls.svg'];

const methods = path.join(root, 'examples', 'captions', 'methods.txt');
// float32: in bfloat16 the bundled target is too fast for speculation to gain on most machines.
const usual = [
  ...['--methods', methods, '--device', 'cpu', '--dtype', 'f32'],
  ...['--limit', '320', '--parts', '8'],
];
const argv = ['--import', 'tsx', 'lib/cli.ts', 'sweep', ...usual, '--out', out];
const { status } = spawnSync(process.execPath, [...argv, ...process.argv.slice(2)], {
  cwd: root,
  stdio: ['ignore', 'ignore', 'inherit'],
});
if (status === 0) {
  writeFileSync(page, withTables(readFileSync(page, 'utf8'), path.join(out, 'table.md')));
  for (const name of plots) {
    const svg = readFileSync(path.join(out, name), 'utf8');
    // What browsers show at each point is most of the file, and not shown in a page's picture.
    const picture = svg.replace(/><title>[^<]*<\/title><\/\w+>/g, '/>');
    writeFileSync(path.join(root, 'docs', `methods-${name}`), picture);
  }
  console.log(`methods-table: wrote ${page} and its plot; its explanations are written by hand`);
}
process.exitCode = status ?? 1;

/** The page with what stands between its marks replaced. */
function withTables(text: string, file: string): string {
  const [begin, end] = ['<!-- tables -->', '<!-- end of tables -->'];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${page}: expected ${begin} and ${end}`);
  const tables = readFileSync(file, 'utf8').trimEnd();
  return `${text.slice(0, from)}${begin}\n\n${tables}\n\n${text.slice(to)}`;
}
