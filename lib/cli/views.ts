/** How outcomes are shown: token by token on a terminal, as plain lines, or as JSON lines. */
import type { SpeccascadeError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer.ts';
import type { Outcome, Output } from './decode.ts';
import type { Line } from './lines.ts';
import { dim, printable, type Terminal } from './terminal.ts';
import { MarkedText, markedText, type Marks, type Step } from './trace.ts';

/** One output, one line: line ends inside an output become spaces (JSON keeps them). */
export function plainLine(text: string): string {
  return text.replace(/\r\n|[\n\r]/g, ' ');
}

/** The lines of an outcome; a failed or an empty input keeps its place as empty lines. */
export function plainLines(
  outcome: Outcome,
  view: { tokenizer: Tokenizer | null; samples: number; trace: boolean },
): string {
  if (!('outputs' in outcome)) return '\n'.repeat(view.samples);
  const marks = view.trace ? 'brackets' : 'none';
  const shown = ({ result, steps }: Output): string =>
    markedText(view.tokenizer, steps ?? [{ tokens: result.tokens, accepted: 0 }], marks, plainLine);
  return outcome.outputs.map((output) => `${shown(output)}\n`).join('');
}

/** One JSON object per output, with all that the library tells; one for a line without output. */
export function jsonLines(outcome: Outcome): string {
  const { number: line, text: input } = outcome.line;
  if ('error' in outcome) {
    const { code, message } = outcome.error;
    return json({ line, input, error: { code, message } });
  }
  if ('empty' in outcome) return json({ line, input, empty: true });
  return outcome.outputs
    .map(({ result, steps }, sample) =>
      json({ line, sample, input, ...result, ...(steps === null ? {} : { steps }) }),
    )
    .join('');
}

/** A failed line as the command line reports it. */
export function lineFailure({ number, kind }: Line, { code, message }: SpeccascadeError): string {
  return `${code}: ${kind} ${number}: ${message.replace(/^input: /, '')}`;
}

/** A line of JSON: 64-bit seeds as strings, typed arrays as arrays. */
export function json(value: object): string {
  const text = JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return String(part);
    return part instanceof Float32Array ? [...part] : part;
  });
  return `${text}\n`;
}

/** Shows the tokens of one output after the other as they come. */
export class LiveView {
  readonly #terminal: Terminal;
  readonly #tokenizer: Tokenizer | null;
  readonly #marks: Marks;
  #text: MarkedText | null = null;

  constructor(terminal: Terminal, tokenizer: Tokenizer | null, marks: Marks) {
    this.#terminal = terminal;
    this.#tokenizer = tokenizer;
    this.#marks = marks;
  }

  /** Shows what is being decoded, where it is not on the screen already. */
  async source({ text }: Line): Promise<void> {
    await this.#terminal.write(`${dim(printable(text), this.#terminal.outColours)}\n`);
  }

  async step(step: Step, done: boolean): Promise<void> {
    this.#text ??= new MarkedText(this.#tokenizer, this.#marks, printable);
    const text = this.#text.push(step);
    if (!done) return this.#terminal.write(text);
    await this.#terminal.write(`${text}${this.#text.end()}\n`);
    this.#text = null;
  }

  /** Ends a line that was left in the middle. */
  async leave(): Promise<void> {
    if (this.#text !== null) await this.#terminal.write('\n');
    this.#text = null;
  }
}
