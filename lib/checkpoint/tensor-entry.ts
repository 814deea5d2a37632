/** One entry of a safetensors header: dtype, shape and the bytes it takes. */
import { isObject, type JsonObject } from './json-file.ts';
import { checkpointError, show } from './messages.ts';

/** A tensor as the file describes it; `begin` and `end` count from the start of the file. */
export interface TensorEntry {
  name: string;
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
}

/** Bits per element of every dtype of the format. */
const dtypeBits: Readonly<Record<string, number>> = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  I64: 64,
  U64: 64,
  F64: 64,
  C64: 64,
};

/**
 * Validates one entry. `dataStart` and `dataBytes` say where the tensor data lie in the file.
 * Anything that does not hold together is ERR_CHECKPOINT naming file and tensor.
 */
export function parseTensorEntry(
  file: string,
  name: string,
  entry: unknown,
  dataStart: number,
  dataBytes: number,
): TensorEntry {
  const where = `${file}: tensor ${show(name)}`;
  if (!isObject(entry)) throw checkpointError(where, `expected an object, received ${show(entry)}`);
  const dtype = own(entry, 'dtype');
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypeBits, dtype)) {
    throw checkpointError(where, `expected a known dtype, received ${show(dtype)}`);
  }
  const shape = parseShape(where, own(entry, 'shape'));
  const bytes = tensorBytes(where, dtype, shape);
  const [begin, end] = parseOffsets(where, own(entry, 'data_offsets'));
  if (end > dataBytes) {
    throw checkpointError(
      where,
      `expected data_offsets inside the ${dataBytes} bytes of tensor data, ` +
        `received ${show([begin, end])} (is the file truncated?)`,
    );
  }
  if (end - begin !== bytes) {
    throw checkpointError(
      where,
      `dtype ${dtype} and shape ${show(shape)} take ${bytes} bytes, ` +
        `but data_offsets ${show([begin, end])} hold ${end - begin}`,
    );
  }
  return { name, dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

function parseShape(where: string, value: unknown): number[] {
  if (Array.isArray(value) && value.every(isSize)) return value;
  throw checkpointError(where, `expected a shape of integers >= 0, received ${show(value)}`);
}

function parseOffsets(where: string, value: unknown): [number, number] {
  if (Array.isArray(value) && value.length === 2 && value.every(isSize)) {
    const [begin, end] = value as [number, number];
    if (begin <= end) return [begin, end];
  }
  throw checkpointError(
    where,
    `expected data_offsets [begin, end] with 0 <= begin <= end, received ${show(value)}`,
  );
}

function tensorBytes(where: string, dtype: string, shape: readonly number[]): number {
  const bits = dtypeBits[dtype] as number;
  let size = bits;
  for (const length of shape.includes(0) ? [0] : shape) {
    size *= length;
    if (!Number.isSafeInteger(size)) {
      throw checkpointError(where, `shape ${show(shape)} is larger than any file`);
    }
  }
  if (size % 8 !== 0) {
    throw checkpointError(where, `shape ${show(shape)} of ${dtype} does not fill whole bytes`);
  }
  return size / 8;
}

function own(entry: JsonObject, key: string): unknown {
  return Object.hasOwn(entry, key) ? entry[key] : undefined;
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
