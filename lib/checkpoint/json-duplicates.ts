/**
 * Finds a key that an object of a JSON text holds twice. JSON.parse keeps the last one silently,
 * which would let one tensor hide another.
 */

/** The first repeated key, at any depth; null if there is none. `text` is valid JSON. */
export function duplicateKey(text: string): string | null {
  const open: (Set<string> | null)[] = []; // a set per object around the place, null per array
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '{') open.push(new Set());
    else if (c === '[') open.push(null);
    else if (c === '}' || c === ']') open.pop();
    else if (c === '"') {
      const end = stringEnd(text, i);
      const keys = open.at(-1);
      if (keys && isKey(text, end)) {
        // Unescaped, so that two spellings of one name are seen as the same.
        const key = JSON.parse(text.slice(i, end)) as string;
        if (keys.has(key)) return key;
        keys.add(key);
      }
      i = end - 1;
    }
  }
  return null;
}

/** Just past the closing quote of the string that opens at `start`. */
function stringEnd(text: string, start: number): number {
  let i = start + 1;
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}

function isKey(text: string, end: number): boolean {
  let i = end;
  while (' \t\n\r'.includes(text[i] as string)) i++;
  return text[i] === ':';
}
