/** What stands for bytes that are not UTF-8. */
export type InvalidBytes =
  /** One U+FFFD for each byte, as SentencePiece does. */
  | 'each'
  /** One U+FFFD for each sequence cut short, as web browsers and byte-level tokenizers do. */
  | 'sequence'
  /** Nothing, as ByT5 does. */
  | 'drop';

/** Smallest and largest second byte of the sequences whose second byte is restricted. */
const secondByte: Record<number, [number, number]> = {
  0xe0: [0xa0, 0xbf],
  0xed: [0x80, 0x9f],
  0xf0: [0x90, 0xbf],
  0xf4: [0x80, 0x8f],
};

/**
 * Decodes UTF-8 byte by byte, holding back the bytes of a character until it is complete. Unlike
 * TextDecoder it never swallows a byte order mark and lets the caller say what becomes of
 * bytes that are not UTF-8.
 */
export class Utf8Stream {
  readonly #invalid: InvalidBytes;
  /** Bytes of the character under way, how many it lacks, and its bits so far. */
  #seen = 0;
  #missing = 0;
  #bits = 0;
  #low = 0x80;
  #high = 0xbf;

  constructor(invalid: InvalidBytes) {
    this.#invalid = invalid;
  }

  /** Text that this byte completes: a character, replacements, or nothing yet. */
  push(byte: number): string {
    if (this.#missing === 0) return this.#begin(byte);
    if (byte < this.#low || byte > this.#high) return this.end() + this.#begin(byte);
    this.#low = 0x80;
    this.#high = 0xbf;
    this.#bits = (this.#bits << 6) | (byte & 0x3f);
    this.#seen++;
    return --this.#missing === 0 ? String.fromCodePoint(this.#bits) : '';
  }

  /** Ends the character under way, which is then invalid; the stream can go on afterwards. */
  end(): string {
    if (this.#missing === 0) return '';
    this.#missing = 0;
    return this.#replacement(this.#seen);
  }

  #begin(byte: number): string {
    if (byte < 0x80) return String.fromCharCode(byte);
    if (byte < 0xc2 || byte > 0xf4) return this.#replacement(1);
    this.#missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    this.#bits = byte & (0x3f >> this.#missing);
    this.#seen = 1;
    [this.#low, this.#high] = secondByte[byte] ?? [0x80, 0xbf];
    return '';
  }

  #replacement(bytes: number): string {
    if (this.#invalid === 'drop') return '';
    return '\uFFFD'.repeat(this.#invalid === 'each' ? bytes : 1);
  }
}
