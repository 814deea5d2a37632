/** Broken safetensors files: each a named error, none a crash or a large allocation. */
import { describe, expect, it } from 'vitest';
import { readCheckpoint } from '../lib/checkpoint.ts';
import { duplicateKey } from '../lib/checkpoint/json-duplicates.ts';
import {
  checkpointFolder,
  expectError,
  layOut,
  safetensors,
  soundFile,
  tinyTensors,
  type HeaderEntry,
} from './support/checkpoint-builder.ts';

const name = 'shared.weight';
const next = 'encoder.block.0.layer.0.SelfAttention.q.weight';

/** The sound file with one entry changed. */
function withEntry(change: Partial<HeaderEntry> | null): Uint8Array {
  const { header, bytes } = layOut(tinyTensors);
  return safetensors({ ...header, [name]: change && { ...header[name], ...change } }, bytes);
}

function moved(tensor: string, begin: number, end: number, shape: number[]): Uint8Array {
  const { header, bytes } = layOut(tinyTensors);
  const entry = { ...header[tensor], shape, data_offsets: [begin, end] };
  return safetensors({ ...header, [tensor]: entry }, bytes);
}

const sound = soundFile();
const { header: soundHeader, bytes: soundBytes } = layOut(tinyTensors);
const text = JSON.stringify(soundHeader);

const broken: [string, Uint8Array | string, string[]][] = [
  ['an empty file', '', ['received one of 0 bytes']],
  ['seven bytes', sound.subarray(0, 7), ['received one of 7 bytes']],
  ['a file cut in the header', sound.subarray(0, 60), ['the header claims', 'truncated']],
  ['a file cut in the data', sound.subarray(0, sound.length - 1), ['data_offsets', 'truncated']],
  ['a length beyond the file', safetensors(text, soundBytes, 5000n), ['claims 5000 bytes']],
  ['a length beyond the limit', safetensors(text, 0, 100_000_001n), ['100000001']],
  ['the largest length', safetensors(text, 0, 2n ** 64n - 1n), ['18446744073709551615']],
  ['a length too short', safetensors(text, soundBytes, 40n), ['header: expected JSON']],
  ['no header', safetensors('', 0), ['header: expected JSON']],
  ['a header that is a list', safetensors('[]', 0), ['expected a JSON object, received []']],
  ['a header that is null', safetensors('null', 0), ['received null']],
  ['a header of garbage', safetensors('\u0000\u0001', 0), ['expected JSON']],
  ['deep nesting', safetensors('['.repeat(1e5) + ']'.repeat(1e5), 0), ['too deep']],
  ['no tensors', safetensors({ __metadata__: {} }, 0), ['holds no tensors']],
  ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\noid x\n', ['git lfs pull']],
  ['a web page', '<!DOCTYPE html><html></html>', ['not a safetensors file?']],
  ['bytes after the last tensor', safetensors(text, soundBytes + 3), ['3 unused bytes']],
  ['an entry that is no object', withEntry(null), [name, 'expected an object, received null']],
  ['an unknown dtype', withEntry({ dtype: 'F31' }), [name, 'expected a known dtype', '"F31"']],
  ['a dtype from the prototype', withEntry({ dtype: 'toString' }), [name, '"toString"']],
  ['no dtype', withEntry({ dtype: undefined }), [name, 'received undefined']],
  ['a shape that is no list', withEntry({ shape: 128 }), [name, 'a shape', 'received 128']],
  ['a negative length', withEntry({ shape: [-16, -8] }), [name, '[-16,-8]']],
  ['a fractional length', withEntry({ shape: [0.5, 256] }), [name, '[0.5,256]']],
  ['a length of text', withEntry({ shape: ['16', 8] }), [name, '["16",8]']],
  ['a shape that overflows', withEntry({ shape: [2 ** 40, 2 ** 40] }), [name, 'larger than any']],
  ['lengths beyond 2^53', withEntry({ shape: [1e300] }), [name, '1e+300']],
  ['a shape of other size', withEntry({ shape: [16, 9] }), [name, 'take 576 bytes', 'hold 512']],
  ['half bytes', withEntry({ dtype: 'F4', shape: [3] }), [name, 'whole bytes']],
  ['no offsets', withEntry({ data_offsets: undefined }), [name, 'expected data_offsets']],
  ['three offsets', withEntry({ data_offsets: [0, 1, 2] }), [name, '[0,1,2]']],
  ['offsets backwards', withEntry({ data_offsets: [512, 0] }), [name, '[512,0]']],
  ['a negative offset', withEntry({ data_offsets: [-512, 0] }), [name, '[-512,0]']],
  ['offsets of text', withEntry({ data_offsets: ['0', '512'] }), [name, '["0","512"]']],
  ['an offset outside', withEntry({ data_offsets: [1e6, 1e6 + 512] }), [name, 'inside the 656']],
  ['an overlap', moved(next, 256, 384, [8, 8]), [next, 'overlaps tensor "shared.weight"']],
  ['a hole', moved(name, 0, 256, [8, 8]), [next, '256 unused bytes before it']],
  [
    'a name twice',
    safetensors(text.replace('{', '{"shared.weight":{},'), soundBytes),
    ['the key "shared.weight" occurs twice'],
  ],
  [
    'a name twice in two spellings',
    safetensors(text.replace('{', '{"shared.weigh\\u0074":{},'), soundBytes),
    ['the key "shared.weight" occurs twice'],
  ],
];

describe('broken files', () => {
  it.each(broken)('%s', async (_, content, parts) => {
    const folder = await checkpointFolder({ 'model.safetensors': content });
    const file = `${folder}/model.safetensors`;
    await expectError(readCheckpoint(folder), 'ERR_CHECKPOINT', file, ...parts);
  });
});

describe('sound files', () => {
  it('are read with any metadata, padding and order of entries', async () => {
    const reversed = Object.fromEntries(Object.entries(soundHeader).reverse());
    const padded = `${JSON.stringify({ ...reversed, __metadata__: 7 })}     `;
    const folder = await checkpointFolder({
      'model.safetensors': safetensors(padded, soundBytes),
    });
    const { weights } = await readCheckpoint(folder);
    const start = 8 + padded.length;
    expect(weights.tensors).toEqual([
      { ...tinyTensors[0], file: 0, begin: start, end: start + 512 },
      { ...tinyTensors[1], file: 0, begin: start + 512, end: start + 640 },
      { ...tinyTensors[2], file: 0, begin: start + 640, end: start + 656 },
    ]);
  });

  it('may hold empty tensors and scalars', async () => {
    const extra = [
      { name: 'empty', dtype: 'F32', shape: [0, 5] },
      { name: 'scalar', dtype: 'F32', shape: [] },
    ];
    const folder = await checkpointFolder({
      'model.safetensors': soundFile([...extra, ...tinyTensors]),
    });
    const { weights } = await readCheckpoint(folder);
    expect(weights.tensors.map((t) => t.end - t.begin)).toEqual([0, 4, 512, 128, 16]);
  });
});

describe('duplicateKey', () => {
  it.each([
    ['{"a":1,"b":{"a":1}}', null],
    ['{"a":1,"b":{"c":1,"c":2}}', 'c'],
    ['{"a":["a","a"],"b":"a"}', null],
    ['[{"a":1},{"a":1}]', null],
    ['{"x\\"y":1,"x\\"y" : 2}', 'x"y'],
    ['"text"', null],
  ])('%s: %s', (json, key) => {
    expect(duplicateKey(json)).toBe(key);
  });
});
