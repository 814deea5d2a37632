/** Files of records for batch jobs, and what jobs made of them. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { captions } from './models.ts';

export interface OutputLine {
  id: string | number;
  text?: string | null;
  numTokens?: number;
  finishReason?: string;
  tokens?: number[];
  seed?: string;
  counters?: Record<string, unknown>;
  line?: number;
  error?: { code: string; message: string };
}

export function linesOf(text: string | Buffer): OutputLine[] {
  const all = String(text).split('\n');
  if (all.pop() !== '') throw new Error('the last line has no end');
  return all.map((line) => JSON.parse(line) as OutputLine);
}

export const readOutput = (file: string): OutputLine[] => linesOf(readFileSync(file));

/** Captions as records, over and over until there are `count`. */
export function captionRecords(count: number): { id: string; text: string }[] {
  const texts = captions(Math.min(count, 1000));
  return Array.from({ length: count }, (_, i) => ({ id: `r${i}`, text: texts[i % texts.length]! }));
}

export function jsonl(records: readonly unknown[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join('');
}

export async function writeRecords(file: string, records: readonly unknown[]): Promise<string> {
  await writeFile(file, jsonl(records));
  return file;
}
