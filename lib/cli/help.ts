/** Help texts, printed from the same tables that the command lines are parsed by. */
import type { Option, OptionTable } from './options.ts';

const width = 96;
const labelWidth = 26;

interface Described {
  name: string;
  /** The arguments besides options, as the usage line shows them. */
  operands: string;
  /** What it does, in a few sentences; blank lines separate paragraphs. */
  about: string;
  options: OptionTable;
  examples: readonly string[];
}

/** The help of one command. */
export function commandHelp(command: Described): string {
  const usage = ['speccascade', command.name, command.operands, '[options]'];
  const examples = command.examples.map((example) => `  ${example}\n`).join('');
  const paragraphs = command.about.split('\n\n').map((paragraph) => wrapped(paragraph, ''));
  return [
    `Usage: ${usage.filter(Boolean).join(' ')}\n`,
    `${paragraphs.join('\n\n')}\n`,
    `Options:\n${optionsHelp(command.options)}`,
    ...(examples === '' ? [] : [`Examples:\n${examples}`]),
  ].join('\n');
}

/** The help of the program. */
export function programHelp(commands: readonly { name: string; summary: string }[]): string {
  const list = commands.map(({ name, summary }) => entry(name, summary, 14)).join('');
  return [
    'Usage: speccascade COMMAND [options]\n',
    'Speculative decoding for T5 models: a small model drafts, the large one verifies.\n',
    `Commands:\n${list}`,
    `Options:\n${entry('--help', 'this text; after a command, that of the command', 14)}` +
      entry('--version', 'version of the package', 14),
    'Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted, 143 terminated (SIGTERM).\n',
  ].join('\n');
}

function optionsHelp(options: OptionTable): string {
  return Object.entries(options)
    .map(([name, option]) => entry(label(name, option), meaning(option), labelWidth))
    .join('');
}

function label(name: string, option: Option<unknown>): string {
  return option.placeholder === null ? `--${name}` : `--${name} ${option.placeholder}`;
}

function meaning(option: Option<unknown>): string {
  const shown = option.shownDefault;
  return shown === null || shown === '' ? option.help : `${option.help} (default: ${shown})`;
}

/** A label and its meaning beside it, below it where the label is long. */
function entry(name: string, what: string, column: number): string {
  const indent = ' '.repeat(column + 2);
  const lines = wrapped(what, indent).trimStart();
  const fits = name.length < column - 1;
  return fits ? `  ${name.padEnd(column)}${lines}\n` : `  ${name}\n${indent}${lines}\n`;
}

function wrapped(words: string, indent: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of words.split(/\s+/)) {
    if (line !== '' && indent.length + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].map((part) => indent + part).join('\n');
}
