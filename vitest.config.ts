// Tests run one file at a time in a process each: the addon uses every core by itself, and a
// native crash then fails its own file only.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 1,
    include: ['test/**/*.test.ts'],
    exclude: ['test/device/**'], // vitest.device.config.ts
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
