// Tests of models and sessions on a GPU: on the emulated one (docs/cuda.md), which the stage
// `device` of `npm test` builds, or with SPECCASCADE_REAL_DEVICE=1 on the first of this machine, as
// `scripts/gpu-check` runs them. Those outside test/device run on the CPU too, by vitest.config.ts.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { defineConfig } from 'vitest/config';

// Laid out as node-gyp-build expects a package; scripts/build-native.mjs --emulated-device fills it.
const root = path.join(import.meta.dirname, '..', '..');
const addon = path.join(root, 'build-cmake', 'Release', 'emulated-device');
const real = process.env.SPECCASCADE_REAL_DEVICE === '1';
if (!real && !existsSync(addon)) {
  throw new Error('no emulated device: run node scripts/build-native.mjs --emulated-device');
}

export default defineConfig({
  root,
  test: {
    pool: 'forks',
    maxWorkers: 2, // an emulated kernel runs on one core
    include: ['test/golden.test.ts', 'test/device/**/*.test.ts'],
    env: { SPECCASCADE_TEST_DEVICE: 'cuda', ...(real ? {} : { SPECCASCADE_PREBUILD: addon }) },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
