/**
 * Finds added tokens in a text. The library's own search has JavaScript's idea of white space and
 * does not know `single_word`.
 */
import { whiteSpace, wordClass } from './characters.ts';
import type { AddedToken } from './definition.ts';
import { PieceTrie } from './piece-trie.ts';

/** A stretch of text: an added token with the white space that belongs to it, or what lies between. */
export interface Section {
  text: string;
  /** Where it begins. */
  start: number;
  /** Absent for what lies between tokens. */
  token?: AddedToken;
}

const wordCharacter = new RegExp(`[${wordClass}]`, 'u');

export class TokenFinder {
  readonly #tokens: readonly AddedToken[];
  readonly #trie = new PieceTrie();

  /** `spell` gives a token's text as it stands in the texts to be searched. */
  constructor(tokens: readonly AddedToken[], spell: (content: string) => string) {
    this.#tokens = tokens;
    tokens.forEach((token, index) => this.#trie.add(spell(token.content), index));
  }

  /** The sections of a text, none of them empty; of the tokens at a position the longest counts. */
  split(text: string): Section[] {
    const sections: Section[] = [];
    let rest = 0;
    const passOver = (end: number): void => {
      if (end > rest) sections.push({ text: text.slice(rest, end), start: rest });
    };
    for (let at = 0; at < text.length;) {
      const found = this.#longest(text, at);
      const begin = at;
      at = found?.end ?? at + 1;
      if (!found || (found.token.single_word && !standsAlone(text, begin, at))) continue;
      const { token } = found;
      const start = token.lstrip ? spaceBefore(text, begin, rest) : begin;
      const end = token.rstrip ? spaceAfter(text, at) : at;
      passOver(start);
      sections.push({ text: text.slice(start, end), start, token });
      rest = end;
    }
    passOver(text.length);
    return sections;
  }

  #longest(text: string, start: number): { token: AddedToken; end: number } | undefined {
    let found: { token: AddedToken; end: number } | undefined;
    let node = 0;
    for (let end = start; end < text.length;) {
      node = this.#trie.child(node, text.charCodeAt(end++));
      if (node < 0) break;
      const index = this.#trie.idAt(node);
      if (index >= 0) found = { token: this.#tokens[index]!, end };
    }
    return found;
  }
}

/** Whether no character of a word touches `text[start, end)`. */
function standsAlone(text: string, start: number, end: number): boolean {
  const before = text.slice(Math.max(0, start - 2), start);
  const after = text.slice(end, end + 2);
  return !wordCharacter.test([...before].at(-1) ?? '') && !wordCharacter.test([...after][0] ?? '');
}

/** Where the white space that ends at `start` begins, but not before `limit`. */
function spaceBefore(text: string, start: number, limit: number): number {
  let at = start;
  while (at > limit && whiteSpace.test(text[at - 1]!)) at--;
  return at;
}

/** Where the white space that begins at `end` ends. */
function spaceAfter(text: string, end: number): number {
  let at = end;
  while (at < text.length && whiteSpace.test(text[at]!)) at++;
  return at;
}
