/** Texts to work on, one per line: from the command line, a file, or standard input. */
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { addAbortSignal, type Readable } from 'node:stream';
import { abortable, fileBytes } from '../batch/input.ts';
import { splitLines } from '../batch/split-lines.ts';
import { ioError, SpeccascadeError } from '../errors.ts';
import { inputError } from '../validate.ts';
import type { Context } from './command.ts';
import type { Terminal } from './terminal.ts';

const standardInput = 'standard input';

export interface Line {
  /** Counted from 1, empty lines included. */
  number: number;
  text: string;
  /** It is not UTF-8: U+FFFD stands for what is wrong. */
  broken: boolean;
  /** An argument of the command line, or a line of a file or of standard input. */
  kind: 'text' | 'line';
}

export interface LineSource {
  /** Whether someone has just typed the texts and has them before their eyes. */
  onScreen: boolean;
  lines: AsyncIterable<Line>;
  /** Ends a read under way, so that it does not keep the process. Idempotent. */
  close(): void;
}

/**
 * The texts of a command line; without any those of `file` ('-' or undefined: standard input). Throws
 * ERR_IO for a file that cannot be read.
 */
export async function openLines(
  source: { texts: string[]; file: string | undefined; limit: number | undefined },
  { terminal, signal }: Context,
): Promise<LineSource> {
  const { texts, file, limit } = source;
  if (texts.length > 0) {
    const lines = limited(argumentsOf(texts), limit);
    return { onScreen: texts.length === 1, lines, close: () => {} };
  }
  const fromFile = file !== undefined && file !== '-';
  if (fromFile) await fileBytes(file);
  const stream = fromFile ? createReadStream(file, { signal }) : process.stdin;
  if (!fromFile) addAbortSignal(signal, stream);
  stream.on('error', () => {}); // reading tells it; it may come before reading begins
  const typed = !fromFile && process.stdin.isTTY === true;
  const lines = readLines(stream, fromFile ? file : standardInput);
  const asked = typed ? prompted(lines, terminal) : lines;
  // A pipe that waits for its writer hears of no signal.
  const own = abortable(limited(asked, limit), signal);
  return { onScreen: typed, lines: own, close: () => stream.destroy() };
}

/** The first `limit` lines of a file ('-': standard input) that are not empty. Throws ERR_INPUT, ERR_IO. */
export async function readTexts(file: string, limit: number, context: Context): Promise<string[]> {
  const texts: string[] = [];
  const { lines } = await openLines({ texts: [], file, limit: undefined }, context);
  for await (const line of lines) {
    const text = wholeText(line, file);
    if (text.trim() !== '') texts.push(text);
    if (texts.length === limit) break;
  }
  if (texts.length > 0) return texts;
  throw new SpeccascadeError('ERR_INPUT', `${file}: expected at least one text, received none`);
}

/** The text of a line; ERR_INPUT with its place where it is not UTF-8. */
export function wholeText({ number, text, broken }: Line, file: string): string {
  if (!broken) return text;
  throw inputError(`${file === '-' ? standardInput : file}, line ${number}`, 'UTF-8', text);
}

async function* prompted(lines: AsyncIterable<Line>, terminal: Terminal): AsyncGenerator<Line> {
  terminal.note('One text per line; Ctrl-D ends the input.');
  terminal.noteInline('> ');
  for await (const line of lines) {
    yield line;
    terminal.noteInline('> ');
  }
  terminal.note('');
}

async function* argumentsOf(texts: readonly string[]): AsyncGenerator<Line> {
  for (const [i, text] of texts.entries()) {
    yield { number: i + 1, text, broken: false, kind: 'text' };
  }
}

async function* limited(
  lines: AsyncIterable<Line>,
  limit = Infinity,
): AsyncGenerator<Line, void, undefined> {
  if (limit === 0) return;
  for await (const line of lines) {
    yield line;
    if (line.number >= limit) return;
  }
}

/**
 * Lines of a UTF-8 stream, ended by \n or \r\n. Not node:readline, which also splits at a lone \r
 * and at Unicode's line separators, so that lines would no longer be those of other tools.
 */
export async function* readLines(stream: Readable, name: string): AsyncGenerator<Line> {
  let number = 0;
  try {
    for await (const bytes of splitLines(stream, Infinity)) {
      number += 1;
      yield { number, ...decoded(bytes as Buffer, number === 1), kind: 'line' };
    }
  } catch (cause) {
    throw ioError(name, cause);
  }
}

// A byte order mark is one at the beginning alone; "ignoring" it leaves it in the text.
const firstDecoder = new TextDecoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function decoded(bytes: Buffer, isFirst: boolean): { text: string; broken: boolean } {
  const text = (isFirst ? firstDecoder : decoder).decode(bytes);
  return { text: text.endsWith('\r') ? text.slice(0, -1) : text, broken: !isUtf8(bytes) };
}
