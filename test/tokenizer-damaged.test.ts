import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, test } from 'vitest';
import { SpeccascadeError } from '../lib/errors.ts';
import { Tokenizer } from '../lib/tokenizer.ts';
import { tempFolder } from './support/checkpoint-builder.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const small = readFileSync(path.join(root, 'test/fixtures/tokenizer/byte-fallback/spiece.model'));
const bundled = readFileSync(path.join(root, 'models/base/spiece.model'));
let folder = '';

beforeEach(async () => {
  folder = await tempFolder();
});

/** The error that loading a folder with this file gives; undefined if it loads. */
async function failure(name: string, content: string | Uint8Array): Promise<unknown> {
  writeFileSync(path.join(folder, name), content);
  try {
    await Tokenizer.load(folder);
    return undefined;
  } catch (error) {
    return error;
  }
}

async function expectDamaged(
  name: string,
  content: string | Uint8Array,
  reason: RegExp,
): Promise<void> {
  const error = await failure(name, content);
  expect(error).toBeInstanceOf(SpeccascadeError);
  const { code, message } = error as SpeccascadeError;
  expect(code).toBe('ERR_CHECKPOINT');
  expect(message).toContain(path.join(folder, name));
  expect(message).toMatch(reason);
}

/** Protocol buffer fields, for models made by hand. */
const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))];
const number = (field: number, value: number): number[] => [...varint(field * 8), ...varint(value)];
const bytes = (field: number, content: Iterable<number>): number[] => {
  const list = [...content];
  return [...varint(field * 8 + 2), ...varint(list.length), ...list];
};
const score = (value: number): number[] => [0x15, ...new Uint8Array(Float32Array.of(value).buffer)];
const piece = (text: string, kind: number, value = 0): number[] =>
  bytes(1, [...bytes(1, Buffer.from(text)), ...score(value), ...number(3, kind)]);
const model = (...parts: number[][]): Uint8Array => Uint8Array.from(parts.flat());
/** What every model has; in real ones the settings come last. */
const settings = [bytes(2, []), bytes(3, [])];
const specials = [...settings, piece('<pad>', 3), piece('</s>', 3), piece('<unk>', 2)];

describe('spiece.model', () => {
  test('made by hand loads, so that the cases below fail for their own reason', async () => {
    expect(await failure('spiece.model', model(...specials, piece('▁a', 1, -1)))).toBeUndefined();
  });

  test.each([
    ['empty', new Uint8Array(0), /no pieces/],
    ['only pieces', model(...specials.slice(2)), /no training or normalization/],
    ['text', Buffer.from('this is not a model'), /not a SentencePiece model/],
    ['only zeros', new Uint8Array(100), /impossible field tag/],
    ['a pointer of version control', Buffer.from('version https://git-lfs'), /SentencePiece/],
    ['a length of 4 GiB', Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f), /longer than/],
    ['a length of 2 GiB', Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x07, 1), /longer than/],
    ['a number without end', new Uint8Array(30).fill(0xff), /no end/],
    ['BPE', model(...specials, bytes(2, number(3, 2))), /BPE; only unigram/],
    ['a character model', model(...specials, bytes(2, number(3, 4))), /character; only unigram/],
    ['an unknown type', model(...specials, bytes(2, number(3, 9))), /unknown \(9\)/],
    [
      'marks of spaces at the end of words',
      model(...specials, bytes(2, number(24, 1))),
      /treat_whitespace_as_suffix is true/,
    ],
    [
      'spaces left as they are',
      model(...specials, bytes(3, number(5, 0))),
      /escape_whitespaces is/,
    ],
    ['a piece given twice', model(...specials, piece('a', 1), piece('a', 1)), /piece 4/],
    ['an empty piece', model(...specials, piece('', 1)), /piece 3 is empty/],
    ['a score that is no number', model(...specials, piece('a', 1, NaN)), /score of piece 3/],
    ['no unknown piece', model(...settings, piece('</s>', 3), piece('a', 1)), /0 unknown pieces/],
    ['no end piece', model(...settings, piece('<unk>', 2), piece('a', 1)), /no end token "<\/s>"/],
    ['pieces that are not UTF-8', model(...specials, bytes(1, bytes(1, [0xff]))), /not/],
    [
      'a cut character map',
      model(...specials, bytes(3, bytes(2, [0, 4, 0, 0, 1]))),
      /character map/,
    ],
    ['a tiny character map', model(...specials, bytes(3, bytes(2, [1]))), /character map/],
  ])('that is or has %s is ERR_CHECKPOINT', async (_, content, reason) => {
    await expectDamaged('spiece.model', content, reason);
  });

  test('cut anywhere is ERR_CHECKPOINT', async () => {
    // Every length among the first pieces, so that some cuts fall between two of them.
    for (let length = 0; length < small.length - 2; length += length < 500 ? 1 : 37) {
      await expectDamaged('spiece.model', small.subarray(0, length), /model/);
    }
    await expectDamaged('spiece.model', bundled.subarray(0, 300_000), /damaged/);
  });

  test('with flipped bits loads or is ERR_CHECKPOINT, and then encodes without failing', async () => {
    let state = 12345;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    for (let round = 0; round < 150; round++) {
      const source = round % 10 === 0 ? bundled : small;
      const content = Uint8Array.from(source);
      for (let n = 0; n < 1 + (round % 8) * 4; n++) {
        content[random(content.length)]! ^= 1 << random(8);
      }
      const error = await failure('spiece.model', content);
      if (error !== undefined) expect(error).toMatchObject({ code: 'ERR_CHECKPOINT' });
      else {
        const ids = (await Tokenizer.load(folder))?.encode('Zwei Männer \u2460 😀 gehen.') ?? [];
        expect(ids.every((id) => Number.isInteger(id) && id >= 0)).toBe(true);
      }
    }
  });
});

describe('tokenizer.json', () => {
  const unigram = {
    type: 'Unigram',
    unk_id: 0,
    vocab: [
      ['<unk>', 0],
      ['</s>', 0],
      ['▁a', -1],
    ],
  };
  const write = (parts: object): string => JSON.stringify({ model: unigram, ...parts });

  test('made by hand loads', async () => {
    expect(await failure('tokenizer.json', write({}))).toBeUndefined();
    expect((await Tokenizer.load(folder))?.encode('▁a')).toEqual([2, 1]);
  });

  test.each([
    ['not JSON', '{"model": ', /not valid JSON/],
    ['a list', '[]', /not a JSON object/],
    ['without a model', '{}', /no "model"/],
    ['of an unknown model type', write({ model: { type: 'WordLevel' } }), /"WordLevel"/],
    ['without a vocabulary', write({ model: { type: 'Unigram' } }), /model\.vocab/],
    ['with a broken entry', write({ model: { ...unigram, vocab: [['a']] } }), /vocab\[0\]/],
    ['without the unknown piece', write({ model: { vocab: [['a', 0]] } }), /unk_id/],
    ['with an unknown id out of range', write({ model: { ...unigram, unk_id: 3 } }), /unk_id is 3/],
    [
      'with a broken added token',
      write({ added_tokens: [{ id: -1, content: 'x' }] }),
      /added_tokens\[0\]/,
    ],
    [
      'with word pieces but no unknown one',
      write({ model: { type: 'WordPiece', vocab: { a: 0 } } }),
      /unk_token/,
    ],
    ['with a huge id', write({ added_tokens: [{ id: 1e9, content: 'x' }] }), /added_tokens\[0\]/],
    ['with a broken step', write({ normalizer: 'NFKC' }), /"normalizer"/],
    ['with an unknown step', write({ pre_tokenizer: { type: 'New' } }), /not a usable.*New/],
    [
      'with an unknown way of splitting',
      write({ pre_tokenizer: { type: 'Punctuation', behavior: 'Halved' } }),
      /not a usable.*"Halved"/,
    ],
    [
      'that splits at nothing known',
      write({ pre_tokenizer: { type: 'Split', pattern: {}, behavior: 'Isolated' } }),
      /Split without a pattern/,
    ],
    ['with an unknown decoder', write({ decoder: { type: 'New' } }), /not a usable.*New/],
    ['with BPE without merges', write({ model: { type: 'BPE', vocab: { a: 0 } } }), /merges/],
    [
      'with two pieces of one id',
      write({ model: { type: 'BPE', merges: [], vocab: { a: 0, b: 0 } } }),
      /two pieces/,
    ],
    ['with a broken id', write({ model: { type: 'BPE', merges: [], vocab: { a: 0.5 } } }), /0\.5/],
  ])('that is %s is ERR_CHECKPOINT', async (_, content, reason) => {
    await expectDamaged('tokenizer.json', content, reason);
  });
});

describe('the other files', () => {
  test.each(['config.json', 'tokenizer_config.json', 'added_tokens.json'])('%s', async (name) => {
    await expectDamaged(name, '{', /not valid JSON/);
  });

  test('text that is not UTF-8', async () => {
    await expectDamaged('tokenizer.json', Uint8Array.of(0x7b, 0xff, 0x7d), /UTF-8/);
  });

  test('merges.txt with a line that is not a pair', async () => {
    writeFileSync(path.join(folder, 'vocab.json'), '{"<s>": 0, "</s>": 1, "<unk>": 2, "a": 3}');
    await expectDamaged('merges.txt', '#version: 0.2\na b\nabc\n', /line 3/);
  });

  test('vocab.json without the start token', async () => {
    writeFileSync(path.join(folder, 'merges.txt'), '');
    await expectDamaged('vocab.json', '{"</s>": 1, "<unk>": 2}', /lacks "<s>"/);
  });
});
