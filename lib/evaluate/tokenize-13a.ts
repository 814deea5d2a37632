/** The tokenizer named 13a: words and punctuation as the mteval-v13a script of WMT tells them apart. */
import { pythonWhiteSpace, strip } from '../tokenizer/characters.ts';
import { splitWords } from './ngrams.ts';

const entities: readonly [string, string][] = [
  ['&quot;', '"'],
  ['&amp;', '&'],
  ['&lt;', '<'],
  ['&gt;', '>'],
];

/** ASCII symbols but for apostrophe, full stop, comma and hyphen, which depend on neighbours. */
const symbols = /[!-&(-+/:-@[-`{-~]/g;

export function tokenize13a(text: string): string[] {
  let line = strip(text, false, true, pythonWhiteSpace).replaceAll('<skipped>', '');
  // The end of a line that was hyphenated joins its two halves.
  line = line.replaceAll('-\n', '').replaceAll('\n', ' ');
  for (const [entity, character] of entities) line = line.replaceAll(entity, character);
  return splitWords(
    ` ${line} `
      .replace(symbols, ' $& ')
      // Full stops and commas stand alone unless both neighbours are digits.
      .replace(/([^0-9])([.,])/gu, '$1 $2 ')
      .replace(/([.,])([^0-9])/gu, ' $1 $2')
      .replace(/([0-9])(-)/g, '$1 $2 '),
  );
}
