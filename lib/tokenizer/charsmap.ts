/**
 * The exact `Precompiled` normalizer: the character map that a SentencePiece model carries.
 *
 * The map is a double-array trie over UTF-8 bytes followed by the replacements, each closed by a
 * zero byte. At every position the longest key that matches is replaced; where none matches, one
 * character is kept as it is. (JavaScript's own NFKC is close but not equal: the maps also drop
 * control characters, turn odd spaces into plain ones and know nothing of newer Unicode.)
 */
import { damaged } from './files.ts';

/** A unit of the double array: label in the low byte, flags, and where its children begin. */
const labelOf = (unit: number): number => unit & 0x800000ff;
const hasValue = (unit: number): boolean => (unit & 0x100) !== 0;
const childrenOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);

/** Length in bytes of the UTF-8 character that begins with `lead`. The text is known to be valid. */
const characterBytes = (lead: number): number =>
  lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

interface Match {
  /** Bytes of the key; 0 where no key matches. */
  length: number;
  /** Where the replacement begins among the replacements. */
  value: number;
}

/**
 * Builds the normalizer from the bytes of a character map; `file` names its origin in errors.
 * Throws ERR_CHECKPOINT when the sizes in the map do not fit its length.
 */
export function charsmapNormalizer(map: Uint8Array, file: string): (text: string) => string {
  const view = new DataView(map.buffer, map.byteOffset, map.byteLength);
  const trieBytes = map.length < 4 ? 0 : view.getUint32(0, true);
  if (trieBytes === 0 || trieBytes % 4 !== 0 || trieBytes > map.length - 4) {
    throw damaged(file, 'the character map (precompiled_charsmap) is truncated or damaged');
  }
  const units = Int32Array.from({ length: trieBytes / 4 }, (_, i) =>
    view.getInt32(4 + 4 * i, true),
  );
  const replacements = map.subarray(4 + trieBytes);

  // A damaged trie can point outside the array: `?? 0` then reads as a unit that fits no byte.
  function longestMatch(bytes: Uint8Array, start: number): Match {
    const match = { length: 0, value: 0 };
    let at = childrenOf(units[0]!);
    for (let i = start; i < bytes.length; i++) {
      const byte = bytes[i]!;
      at ^= byte;
      const unit = units[at] ?? 0;
      if (byte === 0 || labelOf(unit) !== byte) break;
      at ^= childrenOf(unit);
      if (hasValue(unit)) {
        match.length = i + 1 - start;
        match.value = (units[at] ?? 0) & 0x7fffffff;
      }
    }
    return match;
  }

  return (text) => {
    const bytes = Buffer.from(text, 'utf8');
    const parts: Uint8Array[] = [];
    let kept = 0;
    for (let i = 0; i < bytes.length;) {
      const { length, value } = longestMatch(bytes, i);
      if (length === 0) {
        i += characterBytes(bytes[i]!);
        continue;
      }
      const end = replacements.indexOf(0, value);
      parts.push(bytes.subarray(kept, i), replacements.subarray(value, end < 0 ? undefined : end));
      i += length;
      kept = i;
    }
    if (parts.length === 0) return bytes.toString('utf8');
    parts.push(bytes.subarray(kept));
    return Buffer.concat(parts).toString('utf8');
  };
}
