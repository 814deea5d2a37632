/** Texts with their references: two files of lines, or JSON lines that hold both. */
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { ioError, SpeccascadeError } from '../errors.ts';
import { readLines, wholeText } from './lines.ts';

export interface Referenced {
  texts: string[];
  /** At least one per text. */
  references: string[][];
}

/**
 * From `input`, JSON lines of `input` and `reference` or `references` where it ends in .jsonl, else
 * lines of text whose references are the lines of `references`. At most `limit` texts. Throws
 * SpeccascadeError with the file and the line.
 */
export async function readReferenced(
  input: string,
  references: string | undefined,
  limit: number,
): Promise<Referenced> {
  const pairs =
    references === undefined ? await readRecords(input) : await readTwoFiles(input, references);
  if (pairs.length === 0) {
    throw new SpeccascadeError('ERR_INPUT', `${input}: expected at least one text, received none`);
  }
  const chosen = pairs.slice(0, limit);
  return {
    texts: chosen.map(({ text }) => text),
    references: chosen.map((one) => one.references),
  };
}

interface Pair {
  text: string;
  references: string[];
}

async function readTwoFiles(input: string, references: string): Promise<Pair[]> {
  const [texts, theirs] = [await linesOf(input), await linesOf(references)];
  if (texts.length !== theirs.length) {
    throw new SpeccascadeError(
      'ERR_INPUT',
      `${references}: expected as many lines as ${input} has, ${texts.length}, ` +
        `received ${theirs.length}`,
    );
  }
  return texts.flatMap((text, i) => {
    const reference = theirs[i]!;
    const empty = [text, reference].map((one) => one.trim() === '');
    if (empty[0] && empty[1]) return [];
    if (empty[0] || empty[1]) {
      const file = empty[0] ? input : references;
      throw new SpeccascadeError(
        'ERR_INPUT',
        `${file}, line ${i + 1}: expected a text, received an empty line`,
      );
    }
    return [{ text, references: [reference] }];
  });
}

async function readRecords(file: string): Promise<Pair[]> {
  const lines = await linesOf(file);
  return lines.flatMap((line, i) => {
    if (line.trim() === '') return [];
    return [pairOf(line, `${file}, line ${i + 1}`)];
  });
}

function pairOf(line: string, where: string): Pair {
  const record = parseRecord(line, where);
  const { input, reference, references = [reference] } = record;
  const isText = (one: unknown): one is string => typeof one === 'string' && one.trim() !== '';
  if (!isText(input)) {
    throw wrong(where, "a text as 'input'", input);
  }
  if (!Array.isArray(references) || references.length === 0 || !references.every(isText)) {
    throw wrong(where, "a text as 'reference', or a list of them as 'references'", references);
  }
  return { text: input, references };
}

function parseRecord(line: string, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw wrong(where, 'a JSON object', line);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw wrong(where, 'a JSON object', value);
}

function wrong(where: string, expected: string, received: unknown): SpeccascadeError {
  const shown = JSON.stringify(received)?.slice(0, 80) ?? 'nothing';
  return new SpeccascadeError('ERR_INPUT', `${where}: expected ${expected}, received ${shown}`);
}

async function linesOf(file: string): Promise<string[]> {
  let content: Buffer;
  try {
    content = await readFile(file);
  } catch (cause) {
    throw ioError(file, cause);
  }
  const lines: string[] = [];
  for await (const line of readLines(Readable.from([content]), file)) {
    lines.push(wholeText(line, file));
  }
  return lines;
}
