/** Lines of a stream of bytes, as bytes: what is not UTF-8 can be told from what is. */
import { SpeccascadeError } from '../errors.ts';

const lineEnd = 0x0a;

/**
 * Lines ended by \n; after the last \n one more if anything follows. A line of more than `maxBytes`
 * is never held in memory: an ERR_INPUT with its length stands in its place.
 */
export async function* splitLines(
  chunks: AsyncIterable<Buffer>,
  maxBytes: number,
): AsyncGenerator<Buffer | SpeccascadeError, void, undefined> {
  let parts: Buffer[] = [];
  let size = 0;
  const add = (part: Buffer): void => {
    size += part.length;
    if (size <= maxBytes) parts.push(part);
    else parts = [];
  };
  const take = (): Buffer | SpeccascadeError => {
    const line = size <= maxBytes ? joined(parts) : tooLong(size, maxBytes);
    parts = [];
    size = 0;
    return line;
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(lineEnd); at !== -1; at = chunk.indexOf(lineEnd, from)) {
      add(chunk.subarray(from, at));
      from = at + 1;
      yield take();
    }
    if (from < chunk.length) add(chunk.subarray(from));
  }
  if (size > 0) yield take();
}

function joined(parts: readonly Buffer[]): Buffer {
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

function tooLong(size: number, maxBytes: number): SpeccascadeError {
  const problem = `expected a record of at most ${maxBytes} bytes, received ${size}`;
  return new SpeccascadeError('ERR_INPUT', problem);
}
