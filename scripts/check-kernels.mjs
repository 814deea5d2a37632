// What ptxas reports of every kernel, against the bounds below: no spills, no stack, and registers
// and shared memory as the kernels' occupancy was planned. And what no emulation shows: loads of
// single bytes from global memory, which a copy from unaligned bytes becomes. Needs nvcc, no GPU.
//
//   node scripts/check-kernels.mjs [--report FILE]    prints one line per kernel and architecture
//
// Exit code 0: all within bounds; 1: not; 77: skipped, with the reason printed.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const root = path.resolve(import.meta.dirname, '..');
const { values: options } = parseArgs({ options: { report: { type: 'string' } } });

const architectures = ['80', '90a'];

/** The first name that fits a kernel. 65,536 registers and 100 KiB a multiprocessor at least. */
const bounds = [
  {
    name: /^tiled_kernel<\w+, \w+, true,/,
    registers: 255,
    shared: 49152,
    reason: '1 block of 256 threads',
  },
  {
    name: /^tiled_kernel<(\w+, true,|\w+, false, false, 2)/,
    registers: 240,
    shared: 49152,
    reason: '2 blocks of 128',
  },
  { name: /^tiled_kernel/, registers: 168, shared: 32768, reason: '3 blocks of 128 threads' },
  // Empty but for 9.0a, where its shared memory is dynamic.
  { name: /^encoder_product_kernel/, registers: 255, shared: 0, reason: '1 block of 256' },
  {
    name: /^skinny_kernel<Int8, true, 2,/,
    registers: 128,
    shared: 20992,
    reason: '2 blocks of 256 threads',
  },
  {
    name: /^skinny_kernel<\w+, \w+, (1, |2, 1>)|^skinny_pair_kernel<\w+, [12]>/,
    registers: 80,
    shared: 20992,
    reason: '3 blocks of 256 threads',
  },
  {
    name: /^skinny_(pair_)?kernel/,
    registers: 128,
    shared: 41472,
    reason: '2 blocks of 256 threads',
  },
  { name: /^(encoder|self|cross)_kernel<8[,>]/, registers: 128, shared: 9472, reason: '4 of 128' },
  { name: /^shared_cross_kernel/, registers: 168, shared: 16384, reason: '3 of 128' },
  { name: /^(encoder|self|cross)_kernel/, registers: 168, shared: 9472, reason: '3 of 128' },
  {
    name: /^encoder_matrix_kernel<64,/,
    registers: 128,
    shared: 40960,
    reason: '2 blocks of 256',
  },
  {
    name: /^encoder_matrix_kernel/,
    registers: 255,
    shared: 40960,
    reason: '1 block of 256',
  },
  { name: /^verify_kernel/, registers: 128, shared: 6144, reason: '1 block of 512 threads' },
  {
    name: /^(extend|grow_tree|cascade_open|cascade_review|made_rows|given_rows)_kernel/,
    registers: 128,
    shared: 1024,
    reason: '1 block of 512 threads',
  },
  { name: /^pass_kernel/, registers: 192, shared: 32768, reason: '1 block of 256' },
  { name: /^draft_loop_kernel/, registers: 255, shared: 45056, reason: '1 block of 256' },
  {
    name: /^(distribution|row)_kernel/,
    registers: 80,
    shared: 16384,
    reason: '3 blocks of 256 threads',
  },
  { name: /^embed_kernel/, registers: 64, shared: 1024, bytes: 1, reason: 'rows in int8' },
  { name: /./, registers: 64, shared: 1024, reason: '8 of 128' },
];

function sources() {
  return ['base', 'ops', 'decode'].flatMap((room) =>
    readdirSync(path.join(root, 'native', room))
      .filter((name) => name.endsWith('.cu'))
      .map((name) => path.join('native', room, name)),
  );
}

/** What nvcc prints about one source for all architectures; PTX is left in the folder. */
function compile(source, folder) {
  const targets = architectures.map((sm) => `-gencode=arch=compute_${sm},code=sm_${sm}`);
  const flags = ['-std=c++17', '-O3', '-fmad=false', '-Inative', '-Xptxas=-v', '-fatbin'];
  flags.push('--keep', '--keep-dir', folder);
  return new Promise((resolve, reject) => {
    const child = spawn('nvcc', [...flags, ...targets, '-o', '/dev/null', source], { cwd: root });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', reject);
    child.on('close', (status) => {
      // Instructions of warpgroups that wait for each other: ptxas says so, and goes on.
      if (/serialized|warpgroup\.arrive is injected/.test(output)) {
        reject(new Error(`nvcc ${source}: instructions do not overlap\n${output}`));
      } else if (status === 0) resolve(output);
      else reject(new Error(`nvcc ${source}: exit code ${status}\n${output}`));
    });
  });
}

/** Kernels' mangled names, readable; as they are where there is no c++filt. */
function demangle(names) {
  const { status, stdout } = spawnSync('c++filt', { input: names.join('\n'), encoding: 'utf8' });
  const lines = status === 0 ? stdout.trimEnd().split('\n') : names;
  return lines.map((name) =>
    name
      .replace(/\(anonymous namespace\)::|speccascade::/g, '')
      .replace(/^void /, '')
      .replace(/\([^()]*\)$/, ''),
  );
}

/** One entry per kernel and architecture of a report of `ptxas -v`. */
function readReport(source, text) {
  const kernels = [];
  for (const part of text.split(/Compiling entry function '/).slice(1)) {
    const [, mangled, architecture] = /^([^']+)' for 'sm_(\w+)'/.exec(part);
    const number = (pattern) => Number(pattern.exec(part)?.[1] ?? 0);
    kernels.push({
      source,
      mangled,
      architecture,
      registers: number(/Used (\d+) registers/),
      shared: number(/(\d+) bytes smem/),
      stack: number(/(\d+) bytes stack frame/),
      spills: number(/(\d+) bytes spill stores/) + number(/(\d+) bytes spill loads/),
    });
  }
  return kernels;
}

/** Loads of single bytes from global memory by kernel, as the PTX of a folder has them. */
function byteLoads(folder) {
  const counts = new Map();
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.ptx'))) {
    const ptx = readFileSync(path.join(folder, name), 'utf8');
    const [, architecture] = /^\.target sm_(\w+)/m.exec(ptx);
    for (const part of ptx.split(/\.entry /).slice(1)) {
      const [mangled] = /^\w+/.exec(part);
      const loads = part.match(/\bld\.global[.\w:]*\.[usb]8\b/g) ?? [];
      counts.set(`${architecture} ${mangled}`, loads.length);
    }
  }
  return counts;
}

async function compileAll() {
  const queue = sources();
  const kernels = [];
  async function work() {
    for (let source = queue.shift(); source !== undefined; source = queue.shift()) {
      const folder = mkdtempSync(path.join(os.tmpdir(), 'kernels-'));
      const report = readReport(source, await compile(source, folder));
      const loads = byteLoads(folder);
      for (const kernel of report) {
        kernel.bytes = loads.get(`${kernel.architecture} ${kernel.mangled}`);
      }
      kernels.push(...report);
      rmSync(folder, { recursive: true });
    }
  }
  await Promise.all([work(), work()]);
  const names = demangle(kernels.map((kernel) => kernel.mangled));
  return kernels
    .map((kernel, i) => ({ ...kernel, name: names[i] }))
    .sort((a, b) => (a.source + a.name < b.source + b.name ? -1 : 1));
}

function problemsOf(kernel) {
  const bound = bounds.find((one) => one.name.test(kernel.name));
  const problems = [];
  if (kernel.registers === 0) problems.push('no register count in the report');
  if (kernel.spills > 0) problems.push(`${kernel.spills} bytes spilled`);
  if (kernel.stack > 0) problems.push(`a stack of ${kernel.stack} bytes`);
  if (kernel.bytes === undefined) problems.push('no PTX');
  if (kernel.bytes > (bound.bytes ?? 0)) problems.push(`${kernel.bytes} loads of single bytes`);
  for (const what of ['registers', 'shared']) {
    if (kernel[what] <= bound[what]) continue;
    problems.push(`${kernel[what]} ${what}, more than ${bound[what]} (${bound.reason})`);
  }
  return problems;
}

async function main() {
  if (spawnSync('nvcc', ['--version'], { stdio: 'ignore' }).status !== 0) {
    console.log('kernels: skipped, nvcc is not on the PATH');
    return 77;
  }
  const kernels = await compileAll();
  let failed = 0;
  for (const kernel of kernels) {
    const problems = problemsOf(kernel);
    failed += problems.length > 0 ? 1 : 0;
    const use = `${kernel.registers} registers, ${kernel.shared} B shared`;
    const verdict = problems.length === 0 ? '' : `  FAILED: ${problems.join('; ')}`;
    console.log(`sm_${kernel.architecture} ${kernel.name}: ${use}${verdict}`);
  }
  const expected = architectures.filter((sm) => !kernels.some((one) => one.architecture === sm));
  for (const sm of expected) console.log(`FAILED: no report for sm_${sm}`);
  failed += expected.length;
  console.log(`kernels: ${kernels.length - failed} within bounds, ${failed} not`);
  if (options.report) {
    const counts = { passed: kernels.length - failed, failed, skipped: 0 };
    writeFileSync(options.report, JSON.stringify(counts));
  }
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
