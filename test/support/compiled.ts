/** Processes that tests start run the compiled package: before any test, it is made this source's. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** vitest calls it by this name. */
export function setup(): void {
  execFileSync(process.execPath, ['scripts/build-ts.mjs', '--if-changed'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: 'inherit',
  });
}
