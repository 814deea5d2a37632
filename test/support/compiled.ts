/**
 * Before any test: processes that tests start run the compiled package, which is made this source's;
 * and what tests alone load is built where it is missing, since `npm ci` leaves it out.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { areLawsBuilt } from './laws.ts';

function script(...args: string[]): void {
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  execFileSync(process.execPath, args, { cwd, stdio: 'inherit' });
}

/** vitest calls it by this name. */
export function setup(): void {
  script('scripts/build-ts.mjs', '--if-changed');
  if (!areLawsBuilt()) script('scripts/build-native.mjs', '--laws');
}
