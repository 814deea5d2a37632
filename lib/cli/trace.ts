/** Which tokens were drafted and accepted, and which are the target's own. */
import type { StreamChunk } from '../session/stream.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { green } from './terminal.ts';

/** What one step emitted. */
export type Step = Pick<StreamChunk, 'tokens' | 'accepted'>;

/** How accepted drafts are marked: colours where a terminal shows them, brackets elsewhere. */
export type Marks = 'colours' | 'brackets' | 'none';

/** Turns the steps of one output into text, bit by bit; joined without marks it is Result.text. */
export class MarkedText {
  readonly #marks: Marks;
  readonly #text: { push(ids: number[]): string; end(): string };
  readonly #clean: (text: string) => string;

  /** `clean` is applied to the text but not to the marks. */
  constructor(tokenizer: Tokenizer | null, marks: Marks, clean = (text: string): string => text) {
    this.#marks = marks;
    this.#text = tokenizer?.stream() ?? new IdText();
    this.#clean = clean;
  }

  push({ tokens, accepted }: Step): string {
    const drafted = this.#text.push(tokens.slice(0, accepted));
    const own = this.#text.push(tokens.slice(accepted));
    return this.#marked(this.#clean(drafted)) + this.#clean(own);
  }

  end(): string {
    return this.#clean(this.#text.end());
  }

  /** The space before a word is not part of the mark. */
  #marked(text: string): string {
    if (this.#marks === 'none') return text;
    const [, space = '', words = ''] = /^(\s*)([^]*)$/.exec(text) ?? [];
    if (words === '') return text;
    return space + (this.#marks === 'colours' ? green(words, true) : `[${words}]`);
  }
}

/** The whole of one output. */
export function markedText(
  tokenizer: Tokenizer | null,
  steps: readonly Step[],
  marks: Marks,
  clean?: (text: string) => string,
): string {
  const text = new MarkedText(tokenizer, marks, clean);
  return steps.map((step) => text.push(step)).join('') + text.end();
}

/** One line that explains the marks; `colours`: whether the line itself may have them. */
export function legend(marks: Marks, drafter: string | null, colours: boolean): string {
  if (drafter === null) return "trace: no drafter, every token is the target's own";
  const drafted = `drafted by ${drafter} and accepted`;
  if (marks !== 'colours') return `trace: [${drafted}], the rest the target's own`;
  return `trace: ${green('green', colours)} = ${drafted}, plain = the target's own`;
}

/** Token ids in place of text, for a model without a tokenizer; the interface of TokenStream. */
class IdText {
  #first = true;

  push(ids: number[]): string {
    const text = ids.map((id) => ` ${id}`).join('');
    const shown = this.#first ? text.slice(1) : text;
    if (text !== '') this.#first = false;
    return shown;
  }

  end(): string {
    return '';
  }
}
