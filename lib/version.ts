/** The version of this package, which package.json alone holds. */
import { readFileSync } from 'node:fs';

export function packageVersion(): string {
  const file = new URL('../package.json', import.meta.url); // same depth from lib/ and dist/
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
