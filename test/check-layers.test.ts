/** The checker of include and import directions, tried on trees with planted violations. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { tempFolder } from './support/checkpoint-builder.ts';

const checker = new URL('../scripts/check-layers.mjs', import.meta.url);
const { checkNative, checkLib } = (await import(checker.href)) as {
  checkNative: (root: string) => string[];
  checkLib: (root: string) => string[];
};
let root = '';

beforeEach(async () => {
  root = await tempFolder();
});

function plant(files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.join(root, path.dirname(name)), { recursive: true });
    writeFileSync(path.join(root, name), text);
  }
}

/** The tree has exactly one violation, which mentions all of `words`. */
function expectViolation(files: Record<string, string>, ...words: string[]): void {
  plant(files);
  const violations = [...checkNative(root), ...checkLib(root)];
  expect(violations).toHaveLength(1);
  for (const word of words) expect(violations[0]).toContain(word);
}

function runChecker(): { status: number | null; lines: string[] } {
  const args = [fileURLToPath(checker), root];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return { status, lines: stdout.trim().split('\n') };
}

const clean = {
  'native/base/error.h': '#include <string>\n',
  'native/base/cuda_device.cpp': '#include <cuda_runtime.h>\n',
  'native/base/cuda_intrinsics.h': '#include "emulation/e.h"\n',
  'native/emulation/e.h': '',
  'native/ops/gemm.h': '#include "base/error.h"\n',
  'native/ops/tile.cuh': '#include <cooperative_groups.h>\n#include "gemm.h"\n',
  'native/ops/gemm_cuda.cu': '#include <cuda_bf16.h>\n#include "ops/tile.cuh"\n',
  'native/addon/addon.cpp': '#include <napi.h>\n#include "engine/engine.h"\n',
  'native/engine/engine.h': '#include "ops/gemm.h"\n/*\n#include "addon/addon.h"\n*/\n',
  'native/test/gemm_test.cpp': '#include "engine/engine.h"\n#include "test/check.h"\n',
  'native/test/check.h': '',
  'native/test/laws/laws.cpp': '#include <napi.h>\n#include "addon/convert.h"\n',
  'native/addon/convert.h': '',
  'lib/errors.ts': 'export const code = 1;\n',
  'lib/native.ts':
    "import { code } from './errors.ts';\nexport const native = [require('node-gyp-build'), code];\n",
  'lib/index.ts': "export { native } from './native.ts';\n",
  'lib/cli.ts': "import { native } from './index.ts';\nconsole.log(native);\n",
};

describe('check-layers', () => {
  it('accepts a tree in which everything points down', () => {
    plant(clean);
    expect(runChecker()).toEqual({ status: 0, lines: ['layers: all point down'] });
  });

  it('prints what it finds and fails', () => {
    plant({ ...clean, 'native/ops/a.cpp': '#include "engine/engine.h"\n' });
    const { status, lines } = runChecker();
    expect(status).toBe(1);
    expect(lines).toEqual([
      'native/ops/a.cpp:1: engine/engine.h: points upward, from ops to engine',
      'layers: 1 violation(s)',
    ]);
  });

  it.each([
    ['an upward include', 'native/ops/a.cpp', '#include "engine/engine.h"', 'points upward'],
    [
      'the emulation in a kernel',
      'native/ops/a.cu',
      '#include "emulation/e.h"',
      'include emulation',
    ],
    ['an include of a test helper', 'native/ops/a.cpp', '#include "test/check.h"', 'include test'],
    ['an include by a detour', 'native/base/a.h', '#include "../ops/gemm.h"', 'points upward'],
    ['an include of nothing', 'native/ops/a.cpp', '#include "ops/none.h"', 'no such file'],
    ['Node-API below addon', 'native/engine/a.cpp', '#include <node_api.h>', 'Node-API'],
    ['Node-API in a C++ test', 'native/test/a_test.cpp', '#include <napi.h>', 'Node-API'],
    ['CUDA in host code', 'native/decode/a.cpp', '#  include <cuda_runtime.h>', 'CUDA headers'],
    ['CUB in a host header', 'native/ops/a.h', '#include <cub/cub.cuh>', 'CUDA headers'],
    ['device code in host code', 'native/model/a.cpp', '#include "ops/tile.cuh"', '.cuh'],
    ['a room of its own', 'native/misc/a.cpp', '', 'no room'],
  ])('finds %s', (_, file, text, problem) => {
    expectViolation({ ...clean, [file]: `// why\n${text}\n` }, file, problem);
  });

  it.each([
    ['a second loader', 'lib/a.ts', "import load from 'node-gyp-build';", 'only lib/native.ts'],
    ['a required loader', 'lib/a.ts', "const load = require('node-gyp-build');", 'only lib'],
    ['an import of tests', 'lib/a.ts', "import '../test/helper.ts';", 'outside lib'],
    ['an import of nothing', 'lib/a.ts', "import './none.ts';", 'no such file'],
    ['an import of index.ts', 'lib/a.ts', "export * from './index.ts';", 'index.ts'],
    ['a dynamic import', 'lib/a.ts', "await import('./index.ts');", 'index.ts'],
  ])('finds %s', (_, file, text, problem) => {
    expectViolation({ ...clean, [file]: `${text}\n` }, file, problem);
  });

  it('finds more than errors.ts in native.ts', () => {
    const files = { ...clean, 'lib/a.ts': '', 'lib/native.ts': "import './a.ts';\n" };
    expectViolation(files, 'lib/native.ts', './a.ts', 'only errors.ts');
  });

  it('finds a cycle, also one of types', () => {
    const files = {
      ...clean,
      'lib/a.ts': "import type { B } from './sub/b.ts';\n",
      'lib/sub/b.ts': "import { a } from '../a.ts';\nexport const b = a;\n",
    };
    expectViolation(files, 'a.ts -> sub/b.ts -> a.ts');
  });
});
