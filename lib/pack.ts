/** Ragged lists of ids, packed back to back for the native side. */
import { SpeccascadeError } from './errors.ts';
import { checkTokens, inputError } from './validate.ts';

/** Ids of the vocabulary. */
export type TokenIds = readonly number[] | Int32Array;

/** Token ids, a row per sequence. */
export type IdRows = readonly TokenIds[];

interface Packed {
  ids: Int32Array;
  lengths: Int32Array;
}

/** Packs and checks: at least one id per row, every id inside the vocabulary. */
export function pack(name: string, rows: IdRows, vocabSize: number): Packed {
  if (!Array.isArray(rows)) throw inputError(name, 'a list of lists of token ids', rows);
  // Not map(), which leaves holes out.
  const checked = Array.from(rows, (row, index) => {
    const ids = checkTokens(`${name}[${index}]`, row, vocabSize);
    if (ids.length === 0) throw inputError(`${name}[${index}]`, 'at least one token id', row);
    return ids;
  });
  const lengths = Int32Array.from(checked, (row) => row.length);
  const ids = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const row of checked) {
    ids.set(row, at);
    at += row.length;
  }
  return { ids, lengths };
}

/**
 * Packed rows of `width` floats -> [batch, longest, width] with zero rows past a shorter end.
 * Throws ERR_OUT_OF_MEMORY where that is more than an array can hold.
 */
export function pad(
  packed: Float32Array,
  lengths: Int32Array,
  width: number,
): { data: Float32Array; shape: [number, number, number] } {
  const longest = lengths.reduce((max, length) => Math.max(max, length), 0);
  const data = floats(lengths.length * longest * width);
  let at = 0;
  lengths.forEach((length, row) => {
    data.set(packed.subarray(at, at + length * width), row * longest * width);
    at += length * width;
  });
  return { data, shape: [lengths.length, longest, width] };
}

function floats(count: number): Float32Array {
  try {
    return new Float32Array(count);
  } catch (cause) {
    const problem = `needed ${4 * count} bytes for the result`;
    throw new SpeccascadeError('ERR_OUT_OF_MEMORY', problem, { cause });
  }
}
