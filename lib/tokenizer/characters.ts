/**
 * Classes of characters as the reference has them. JavaScript's `\s` and `trim` have U+FEFF and lack
 * U+0085, and its `\w` and `\d` know ASCII alone.
 */

/** Unicode's white space. */
export const whiteSpace = /\p{White_Space}/u;

/** What Python's `strip` and `split` take for white space, between brackets: four separators more. */
export const pythonWhiteSpaceClass = String.raw`\p{White_Space}\x1c-\x1f`;
export const pythonWhiteSpace = new RegExp(`[${pythonWhiteSpaceClass}]`, 'u');

/** What `\w` matches, and what counts as punctuation, to be put between brackets. */
export const wordClass = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}`;
export const punctuationClass = String.raw`\p{P}!-\/:-@\[-\x60\{-~`;

/** Lower case character by character: only `toLowerCase` makes a final sigma of its own accord. */
export const lowercase = (text: string): string => text.replaceAll('Σ', 'σ').toLowerCase();

/** Removes white space, all of which is single UTF-16 units, from the ends of a text. */
export function strip(
  text: string,
  left: boolean,
  right: boolean,
  space: { test(character: string): boolean },
): string {
  let start = 0;
  let end = text.length;
  while (right && end > start && space.test(text[end - 1]!)) end--;
  while (left && start < end && space.test(text[start]!)) start++;
  return text.slice(start, end);
}
