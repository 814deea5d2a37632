/** Random changes to an input: of its bytes, of its tokens, and of the JSON that it holds. */

/** A uniform integer in [0, below). */
export type Random = (below: number) => number;

/** xorshift32: the same sequence for the same seed, on every machine. */
export function generator(seed: number): Random {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Values at which parsers and size computations break. */
const awkward: readonly unknown[] = [
  ...[0, 1, -1, 2, 3, 8, 255, 256, 1.5, -0, 1e308, 1e-320, 2 ** 31 - 1, 2 ** 31, 2 ** 32],
  ...[2 ** 53 - 1, 2 ** 53, 2 ** 63, -(2 ** 63), 1e20, null, true, false, '', '\u0000', '🙂'],
  ...[[], [0], [0, 0], {}, { a: 1 }, '__proto__', 'constructor', 'toString', 'x'.repeat(300)],
];

const syntax = ['{', '}', '[', ']', ',', ':', '"', '\\', '\\u0041', '-', '0', '9e99', 'null', ' '];

/** One change, or up to four. `words`: strings that mean something to what is being tested. */
export function mutate(
  input: Uint8Array,
  other: Uint8Array,
  words: readonly string[],
  random: Random,
): Uint8Array {
  let out = input;
  for (let left = random(2) === 0 ? 1 : random(4) + 1; left > 0; left--) {
    const kind = random(8);
    if (kind < 4) out = changeJson(out, words, random) ?? changeBytes(out, words, random);
    else if (kind < 7) out = changeBytes(out, words, random);
    else out = join(out.subarray(0, random(out.length + 1)), other.subarray(random(other.length)));
  }
  return out.length > 4096 ? out.subarray(0, 4096) : out;
}

function changeBytes(bytes: Uint8Array, words: readonly string[], random: Random): Uint8Array {
  const at = random(bytes.length + 1);
  const end = Math.min(bytes.length, at + random(9));
  const head = bytes.subarray(0, at);
  switch (random(6)) {
    case 0:
      return join(head, Uint8Array.of(random(256)), bytes.subarray(at + 1));
    case 1:
      return join(head, encoder.encode(syntax[random(syntax.length)]), bytes.subarray(end));
    case 2:
      return join(head, encoder.encode(words[random(words.length)]), bytes.subarray(end));
    case 3: {
      const from = random(bytes.length + 1);
      return join(head, bytes.subarray(from, from + random(40)), bytes.subarray(end));
    }
    case 4:
      return join(head, bytes.subarray(end));
    default: {
      const flipped = Uint8Array.from(bytes);
      if (at < bytes.length) flipped[at] = (bytes[at] as number) ^ (1 << random(8));
      return flipped;
    }
  }
}

/** Changes one value of the JSON inside (after up to 8 bytes that are none); null if there is none. */
function changeJson(
  bytes: Uint8Array,
  words: readonly string[],
  random: Random,
): Uint8Array | null {
  const start = bytes.indexOf(0x7b);
  if (start < 0 || start > 8) return null;
  let root: unknown;
  try {
    root = JSON.parse(decoder.decode(bytes.subarray(start)));
  } catch {
    return null;
  }
  const places: [Record<string, unknown>, string][] = [];
  collect(root, places);
  if (places.length === 0) return null;
  const [holder, key] = places[random(places.length)] as [Record<string, unknown>, string];
  changeEntry(holder, key, places, words, random);
  const text = encoder.encode(JSON.stringify(root));
  const prefix = Uint8Array.from(bytes.subarray(0, start));
  // A length that still fits, most of the time: else little gets past it.
  if (start === 8 && random(4) > 0) {
    new DataView(prefix.buffer).setBigUint64(0, BigInt(text.length), true);
  }
  return join(prefix, text);
}

function collect(value: unknown, places: [Record<string, unknown>, string][]): void {
  if (typeof value !== 'object' || value === null) return;
  for (const key of Object.keys(value)) {
    places.push([value as Record<string, unknown>, key]);
    if (places.length < 500) collect((value as Record<string, unknown>)[key], places);
  }
}

function changeEntry(
  holder: Record<string, unknown>,
  key: string,
  places: readonly [Record<string, unknown>, string][],
  words: readonly string[],
  random: Random,
): void {
  const value = holder[key];
  const [donor, donorKey] = places[random(places.length)] as [Record<string, unknown>, string];
  const word = words[random(words.length)] as string;
  switch (random(7)) {
    case 0:
      holder[key] = structuredClone(awkward[random(awkward.length)]);
      break;
    case 1:
      holder[key] = word;
      break;
    case 2:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
      break;
    case 3:
      holder[key] = structuredClone(donor[donorKey]);
      break;
    case 4:
      if (Array.isArray(holder)) holder.push(structuredClone(value));
      else holder[word] = structuredClone(donor[donorKey]);
      break;
    case 5:
      holder[key] = typeof value === 'number' ? value + [1, -1, 8, -8][random(4)]! : [value];
      break;
    default:
      holder[key] = typeof value === 'number' ? value * [2, 0.5, -1, 2 ** 32][random(4)]! : value;
  }
}

function join(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
