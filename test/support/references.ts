import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const fixtures = new URL('../fixtures/tokenizer/', import.meta.url);

/** The cases of a file that fixtures/tokenizer/make.py wrote: one a line. */
export function references<T>(name: string): T[] {
  const text = gunzipSync(readFileSync(new URL(`${name}.jsonl.gz`, fixtures))).toString('utf8');
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as T);
}
