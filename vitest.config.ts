// Every file of tests is a process of its own, so that a native crash fails that file only. Two run
// side by side: most of them compute on one thread, or start programs. Those that look at the clock,
// or at what a whole process grows by, come afterwards, one at a time.
import { configDefaults, defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const alone = ['lifetime', 'list-calls', 'lowlevel-bench', 'session', 'tokenizer'].map(
  (name) => `test/${name}.test.ts`,
);
const device = 'test/device/**'; // test/device/vitest.config.ts

/** test/law.test.ts takes about as long as everything that can run beside it. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification): boolean => moduleId.endsWith('/law.test.ts');
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    pool: 'forks',
    globalSetup: 'test/support/compiled.ts',
    // On a machine with a GPU, where models would be on it by default, the same tests run.
    env: { CUDA_VISIBLE_DEVICES: '' },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'side by side',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, device, ...alone],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'alone', include: alone, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
