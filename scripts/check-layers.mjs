// Keeps the direction of dependencies true: includes in native/ and imports in lib/ point down
// only, and CUDA, Node-API and the addon loader stay where they belong.
//
//   node scripts/check-layers.mjs [ROOT]     prints violations, exit code 1 if there are any
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** Lowest first; a room may include itself and the rooms before it. */
const rooms = ['base', 'ops', 'model', 'decode', 'engine', 'addon'];
/** These may include everything, and nothing else may include them. */
const outside = ['test', 'bench', 'fuzz', 'emulation'];
/** In builds for the emulation the wrappers of CUDA's intrinsics lead there. */
const mayKnowEmulation = /^base\/cuda_intrinsics(_sm90)?\.h$/;

/** What tests load into Node, beside the addon. */
const mayKnowNode = /^(addon|test\/laws)\//;
const nodeHeaders = /^(napi|node_api|js_native_api|node|uv|v8)([-_]\w+)?\.h$/;
const cudaHeaders =
  /^(cuda\w*|driver_types|vector_types|device_launch_parameters|math_constants|mma|cublas\w*|nv\w*)\.h$|^(cuda|cub|thrust|cooperative_groups|nvtx3|crt)(\/|\.h$)/;
const mayKnowCuda = /\.cuh?$|^base\/cuda_[^/]*$/;

function listFiles(dir, extensions) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { recursive: true })
    .map((name) => name.split(path.sep).join('/'))
    .filter((name) => extensions.test(name) && statSync(path.join(dir, name)).isFile())
    .sort();
}

/** The include lines of a C++ file: what is named, where, and whether in quotes. */
function readIncludes(file) {
  const text = readFileSync(file, 'utf8').replace(/\/\*[^]*?\*\//g, (comment) =>
    comment.replace(/[^\n]/g, ' '),
  );
  const includes = [];
  for (const [index, line] of text.split('\n').entries()) {
    const found = /^\s*#\s*include\s*([<"])([^>"]+)[>"]/.exec(line);
    if (found) includes.push({ line: index + 1, quoted: found[1] === '"', name: found[2] });
  }
  return includes;
}

/** Where a quoted include leads, relative to native/; null when to no file there. */
function resolveInclude(native, from, name) {
  const beside = path.posix.join(path.posix.dirname(from), name);
  for (const candidate of [name, beside]) {
    if (existsSync(path.join(native, candidate))) return path.posix.normalize(candidate);
  }
  return null;
}

function checkInclude(native, file, include) {
  const room = file.split('/')[0];
  if (nodeHeaders.test(include.name) && !mayKnowNode.test(file)) {
    return 'only addon and test/laws may include Node-API';
  }
  if (cudaHeaders.test(include.name) && !mayKnowCuda.test(file)) {
    return 'only .cu, .cuh and base/cuda_* may include CUDA headers';
  }
  if (!include.quoted) return null;
  const target = resolveInclude(native, file, include.name);
  if (target === null) return 'no such file in native/';
  if (outside.includes(room)) return null;
  const targetRoom = target.split('/')[0];
  if (targetRoom === 'emulation' && mayKnowEmulation.test(file)) return null;
  if (outside.includes(targetRoom)) return `${room} may not include ${targetRoom}`;
  if (rooms.indexOf(targetRoom) > rooms.indexOf(room)) {
    return `points upward, from ${room} to ${targetRoom}`;
  }
  if (target.endsWith('.cuh') && !mayKnowCuda.test(file)) return 'host code may not include .cuh';
  return null;
}

export function checkNative(root) {
  const native = path.join(root, 'native');
  const violations = [];
  for (const file of listFiles(native, /\.(cpp|h|cu|cuh)$/)) {
    const room = file.split('/')[0];
    if (!rooms.includes(room) && !outside.includes(room)) {
      violations.push(`native/${file}: ${room} is no room of the layout`);
    }
    for (const include of readIncludes(path.join(native, file))) {
      const problem = checkInclude(native, file, include);
      if (problem) violations.push(`native/${file}:${include.line}: ${include.name}: ${problem}`);
    }
  }
  return violations;
}

/** Import specifiers of a TypeScript file: types, dynamic imports and require() included. */
function readImports(file) {
  const { importedFiles } = ts.preProcessFile(readFileSync(file, 'utf8'), true, true);
  return importedFiles.map((imported) => imported.fileName);
}

function checkImport(lib, file, specifier) {
  if (specifier === 'node-gyp-build') {
    return file === 'native.ts' ? null : 'only lib/native.ts may load the addon';
  }
  if (!specifier.startsWith('.')) return null;
  const target = path.posix.join(path.posix.dirname(file), specifier);
  if (target.startsWith('../')) return 'lib may not import from outside lib';
  if (!existsSync(path.join(lib, target))) return 'no such file in lib/';
  if (target === 'index.ts' && file !== 'cli.ts') return 'index.ts is for callers outside lib';
  // Its types are on two pages; what it runs is errors.ts alone.
  if (file === 'native.ts' && target !== 'errors.ts' && target !== 'native-lowlevel.ts') {
    return 'lib/native.ts may import only errors.ts';
  }
  return null;
}

/** One cycle of the import graph as a list of files, or null. */
function findCycle(graph) {
  const done = new Set();
  const trail = [];
  function visit(file) {
    if (trail.includes(file)) return [...trail.slice(trail.indexOf(file)), file];
    if (done.has(file)) return null;
    trail.push(file);
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next);
      if (cycle) return cycle;
    }
    trail.pop();
    done.add(file);
    return null;
  }
  for (const file of graph.keys()) {
    const cycle = visit(file);
    if (cycle) return cycle;
  }
  return null;
}

export function checkLib(root) {
  const lib = path.join(root, 'lib');
  const violations = [];
  const graph = new Map();
  for (const file of listFiles(lib, /\.ts$/)) {
    const targets = [];
    for (const specifier of readImports(path.join(lib, file))) {
      const problem = checkImport(lib, file, specifier);
      if (problem) violations.push(`lib/${file}: ${specifier}: ${problem}`);
      if (specifier.startsWith('.')) {
        targets.push(path.posix.join(path.posix.dirname(file), specifier));
      }
    }
    graph.set(file, targets);
  }
  const cycle = findCycle(graph);
  if (cycle) violations.push(`lib: imports form a cycle: ${cycle.join(' -> ')}`);
  return violations;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = path.resolve(process.argv[2] ?? path.join(import.meta.dirname, '..'));
  const violations = [...checkNative(root), ...checkLib(root)];
  for (const violation of violations) console.log(violation);
  console.log(
    violations.length === 0
      ? 'layers: all point down'
      : `layers: ${violations.length} violation(s)`,
  );
  process.exitCode = violations.length === 0 ? 0 : 1;
}
