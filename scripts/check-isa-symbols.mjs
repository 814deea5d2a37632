// Objects compiled for newer instruction sets must not define shared inline functions: the linker
// keeps one copy of each, and if that is the AVX-512 one, older processors die in it. So every
// weak symbol of such an object has to live in the namespace of its instruction set.
//
//   node scripts/check-isa-symbols.mjs CMAKE_BUILD_DIR
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

const isas = ['avx2', 'avx512', 'avx512vnni', 'avx512bf16'];

/** Demangled names of the object's weak and unique definitions. */
function weakSymbols(object) {
  const output = execFileSync('nm', ['--demangle', '--defined-only', object], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  return output
    .split('\n')
    .map((line) => /^[0-9a-f]+ [WVu] (.*)$/.exec(line)?.[1])
    .filter((name) => name !== undefined);
}

const build = process.argv[2];
if (build === undefined) throw new Error('which CMake build directory?');
let checked = 0;
let leaks = 0;
for (const isa of isas) {
  const dir = path.join(build, 'CMakeFiles', `speccascade_simd_${isa}.dir`);
  if (!existsSync(dir)) continue;
  for (const name of readdirSync(dir, { recursive: true })) {
    if (!name.endsWith('.o')) continue;
    for (const symbol of weakSymbols(path.join(dir, name))) {
      checked += 1;
      if (new RegExp(`\\bsimd_${isa}\\b`).test(symbol)) continue;
      leaks += 1;
      console.log(`${path.basename(name)} (${isa}) defines a function others may share: ${symbol}`);
    }
  }
}
console.log(`isa symbols: ${checked} weak symbols checked, ${leaks} outside their namespace`);
if (checked === 0 && process.arch === 'x64') {
  throw new Error(`no objects of ${isas.join(' or ')} in ${build}: built elsewhere?`);
}
process.exitCode = leaks === 0 ? 0 : 1;
