/** Reads the protocol buffer wire format: only what a SentencePiece model needs. */

/** One field of a message. `bytes` is a view into the message, not a copy. */
export type WireField =
  | { number: number; wire: 'varint'; value: number }
  | { number: number; wire: 'fixed32' | 'fixed64' | 'bytes'; bytes: Uint8Array };

/**
 * The fields of a message in the order in which they are stored.
 *
 * Varints are given as 32-bit signed integers, because that is what every integer of a
 * SentencePiece model is (an absent start token is stored as -1, in ten bytes).
 * Throws a RangeError when the message ends inside a field or holds an impossible tag; lengths are
 * checked against the bytes at hand before anything is taken, so nothing is allocated on their word.
 */
export function* fields(message: Uint8Array): Generator<WireField> {
  let at = 0;

  function varint(): number {
    let low = 0;
    for (let count = 0; count < 10; count++) {
      const byte = message[at++];
      if (byte === undefined) throw new RangeError('ends inside a number');
      // Shifts beyond 31 would wrap around; those bits are not part of a 32-bit value.
      if (count < 5) low |= (byte & 0x7f) << (7 * count);
      if (byte < 0x80) return low | 0;
    }
    throw new RangeError(`number at byte ${at - 10} has no end`);
  }

  function take(length: number): Uint8Array {
    if (length < 0 || length > message.length - at) {
      throw new RangeError(`field at byte ${at} is longer than what is left`);
    }
    at += length;
    return message.subarray(at - length, at);
  }

  while (at < message.length) {
    const start = at;
    const tag = varint();
    const number = tag >>> 3;
    if (number === 0) throw new RangeError(`impossible field tag at byte ${start}`);
    switch (tag & 7) {
      case 0:
        yield { number, wire: 'varint', value: varint() };
        break;
      case 1:
        yield { number, wire: 'fixed64', bytes: take(8) };
        break;
      case 2:
        yield { number, wire: 'bytes', bytes: take(varint()) };
        break;
      case 5:
        yield { number, wire: 'fixed32', bytes: take(4) };
        break;
      default:
        throw new RangeError(`impossible field tag at byte ${start}`);
    }
  }
}
