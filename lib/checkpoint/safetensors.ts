/**
 * The header of a safetensors file: 8 bytes of little-endian length, that many bytes of JSON,
 * then the tensor data. Only the header is read here; the data are read by the native side.
 */
import { duplicateKey } from './json-duplicates.ts';
import { fileSize, parseJsonObject, readBytes } from './json-file.ts';
import { checkpointError, show } from './messages.ts';
import { parseTensorEntry, type TensorEntry } from './tensor-entry.ts';

/** Longest header the format allows, in bytes. */
const maxHeaderBytes = 100_000_000;

const prefixBytes = 8;

/**
 * Tensor table of a file, in file order; null where the file is absent. Everything that does not
 * hold together (length, JSON, an entry, overlapping or missing bytes) is ERR_CHECKPOINT.
 */
export async function readSafetensors(file: string): Promise<TensorEntry[] | null> {
  const size = await fileSize(file);
  if (size === null) return null;
  if (size < prefixBytes) {
    throw checkpointError(file, `expected a safetensors file, received one of ${size} bytes`);
  }
  const headerBytes = headerLength(file, await readBytes(file, 0, prefixBytes), size);
  const header = await readBytes(file, prefixBytes, headerBytes);
  return parseHeader(file, header, size);
}

/** Length of the JSON header in bytes, checked against the file's size before anything is read. */
export function headerLength(file: string, prefix: Uint8Array, fileBytes: number): number {
  // What a clone without Git LFS leaves in place of a large file starts with these 8 bytes.
  if (new TextDecoder('latin1').decode(prefix) === 'version ') {
    throw checkpointError(file, 'is a Git LFS pointer, not the file itself: run "git lfs pull"');
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) {
    throw checkpointError(
      file,
      `expected a header of at most ${maxHeaderBytes} bytes, received a length of ${length} ` +
        '(not a safetensors file?)',
    );
  }
  if (length > BigInt(fileBytes - prefixBytes)) {
    throw checkpointError(
      file,
      `the header claims ${length} bytes, but the file has ${fileBytes} (is it truncated?)`,
    );
  }
  return Number(length);
}

/** Parses the JSON header of a file of `fileBytes` bytes. Pure: touches no file. */
export function parseHeader(file: string, header: Uint8Array, fileBytes: number): TensorEntry[] {
  const value = parseJsonObject(`${file}: header`, header, checkpointError);
  const repeated = duplicateKey(new TextDecoder().decode(header));
  if (repeated !== null) {
    throw checkpointError(`${file}: header`, `the key ${show(repeated)} occurs twice`);
  }
  const dataStart = prefixBytes + header.length;
  const dataBytes = fileBytes - dataStart;
  const tensors: TensorEntry[] = [];
  for (const [name, entry] of Object.entries(value)) {
    if (name === '__metadata__') continue;
    tensors.push(parseTensorEntry(file, name, entry, dataStart, dataBytes));
  }
  if (tensors.length === 0) throw checkpointError(file, 'holds no tensors');
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkTiling(file, tensors, dataStart, fileBytes);
  return tensors;
}

/** The format allows neither shared nor unused bytes: both are signs of a damaged file. */
function checkTiling(
  file: string,
  tensors: readonly TensorEntry[],
  dataStart: number,
  fileBytes: number,
): void {
  let next = dataStart;
  let previous = 'the header';
  for (const { name, begin, end } of tensors) {
    if (begin < next) {
      throw checkpointError(`${file}: tensor ${show(name)}`, `overlaps ${previous}`);
    }
    if (begin > next) {
      const gap = `${begin - next} unused bytes before it, after ${previous}`;
      throw checkpointError(`${file}: tensor ${show(name)}`, gap);
    }
    next = end;
    previous = `tensor ${show(name)}`;
  }
  if (next !== fileBytes) {
    throw checkpointError(file, `${fileBytes - next} unused bytes after the last tensor`);
  }
}
