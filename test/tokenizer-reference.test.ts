/**
 * Where the tokenizers library and the reference differ. What is expected was printed by the Python
 * packages tokenizers 0.23 and sentencepiece 0.2.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Step } from '../lib/tokenizer/definition.ts';
import { buildNormalizer } from '../lib/tokenizer/normalizer.ts';
import { buildPreTokenizer } from '../lib/tokenizer/pre-tokenizer.ts';
import { Tokenizer } from '../lib/tokenizer.ts';
import { tempFolder } from './support/checkpoint-builder.ts';

describe('words', () => {
  const isolated = { behavior: 'Isolated' };
  const split = (behavior: string, invert = false): Step => ({
    ...{ type: 'Split', pattern: { String: '/' }, behavior, invert },
  });

  test.each<[Step, string, string[]]>([
    [
      { type: 'Whitespace' },
      'Männer a\ufeffb c\u0085d, é_1²',
      ['Männer', 'a', '\ufeff', 'b', 'c', 'd', ',', 'é_1', '²'],
    ],
    [{ type: 'WhitespaceSplit' }, 'a\ufeffb c\u0085d', ['a\ufeffb', 'c', 'd']],
    [
      { type: 'BertPreTokenizer' },
      'a\ufeffb c\u0085d, 𠀀//',
      ['a\ufeffb', 'c', 'd', ',', '𠀀', '/', '/'],
    ],
    [{ type: 'Digits', individual_digits: true }, 'a12½三', ['a', '1', '2', '½', '三']],
    [{ type: 'Digits' }, 'a12½b', ['a', '12½', 'b']],
    [{ type: 'Punctuation' }, 'http://a', ['http', ':', '/', '/', 'a']],
    [{ type: 'Punctuation', ...isolated }, '//a.b', ['/', '/', 'a', '.', 'b']],
    [{ type: 'Punctuation', behavior: 'Contiguous' }, '//a.b', ['//', 'a', '.', 'b']],
    [split('Removed'), '//a//b.c', ['a', 'b.c']],
    [split('Removed', true), '//a//b.c', ['/', '/', '/', '/']],
    [split('Contiguous'), '//a//b.c', ['//', 'a', '//', 'b.c']],
    [split('MergedWithPrevious'), '//a//b.c', ['/', '/', 'a/', '/', 'b.c']],
    [split('MergedWithPrevious', true), '//a//b.c', ['/', '/a', '/', '/b.c']],
    [split('MergedWithNext'), '//a//b.c', ['/', '/a', '/', '/b.c']],
    [split('merged_with_next', true), '//a//b.c', ['/', '/', 'a/', '/', 'b.c']],
    [
      { type: 'Split', pattern: { Regex: '[0-9]' }, behavior: 'MergedWithNext' },
      'a1b22c',
      ['a', '1b', '2', '2c'],
    ],
  ])('%j', (step, text, words) => {
    expect(buildPreTokenizer(step)!(text, true)).toEqual(words);
  });

  test('of Metaspace after a split: the mark goes before the first of the text alone', () => {
    const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first' };
    const parts = [{ type: 'WhitespaceSplit' }, metaspace];
    const words = buildPreTokenizer({ type: 'Sequence', pretokenizers: parts })!;
    expect(words('man man', true)).toEqual(['▁man', 'man']);
    expect(words(' man man', true)).toEqual(['man', 'man']);
    expect(words('man man', false)).toEqual(['man', 'man']);
  });
});

describe('normalization', () => {
  const bert = { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true };

  test.each<[Step, string, string]>([
    [{ ...bert, lowercase: true }, '𠀀Ä\ufeff\u0085Σ日', ' 𠀀 aσ 日 '],
    [{ ...bert, lowercase: false, strip_accents: null }, 'Ä\u2003日', 'Ä  日 '],
    [{ type: 'Lowercase' }, 'ΟΔΟΣ İ', 'οδοσ i\u0307'],
  ])('%j', (step, text, normal) => {
    expect(buildNormalizer(step, 'file')!(text)).toBe(normal);
  });
});

describe('added tokens', () => {
  const characters = [...' ▁abcdefghijklmnopqrstuvwxyz[]X.²𝐀_\u0085\u200d\ufeff'];
  const vocab = [['<unk>', 0], ['</s>', 0], ...characters.map((one) => [one, -1])];
  const first = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true };

  /** The pieces of a text, without the end token, where `token` is an added token. */
  async function pieces(text: string, token: object, parts: object = {}): Promise<string[]> {
    const added = [{ id: vocab.length, special: false, normalized: true, ...token }];
    const model = { type: 'Unigram', unk_id: 0, vocab };
    const json = { model, added_tokens: added, decoder: { type: 'Fuse' }, ...parts };
    const tokenizer = await Tokenizer.load(await tempFolder({ 'tokenizer.json': json }));
    const ids = tokenizer!.encode(text).slice(0, -1);
    return ids.map((id) => tokenizer!.decode([id], { skipSpecialTokens: false }));
  }

  test.each([true, false])('(normalized: %s) leave no mark in front of what follows', async (n) => {
    const token = { content: '[X]', normalized: n };
    const metaspace = { pre_tokenizer: first, normalizer: { type: 'NFC' } };
    const of = (text: string): Promise<string[]> => pieces(text, token, metaspace);
    expect(await of('man[X]man')).toEqual(['▁', 'm', 'a', 'n', '[X]', 'm', 'a', 'n']);
    expect(await of('[X]a')).toEqual(['[X]', 'a']);
    expect(await of('a [X] b')).toEqual(['▁', 'a', '▁', '[X]', '▁', 'b']);
  });

  test('after a space that normalization takes away, there is no mark either', async () => {
    const normalizer = { type: 'Strip', strip_left: true, strip_right: false };
    const parts = { pre_tokenizer: first, normalizer };
    expect(await pieces('  a', { content: '[X]' }, parts)).toEqual(['a']);
    expect(await pieces(' a[X]b', { content: '[X]' }, parts)).toEqual(['a', '[X]', 'b']);
  });

  test('are found in normalized text by their own text, normalized', async () => {
    const parts = { normalizer: { type: 'Lowercase' } };
    expect(await pieces('aCATb', { content: 'Cat' }, parts)).toEqual(['a', 'Cat', 'b']);
    const asWritten = { content: 'Cat', normalized: false };
    expect(await pieces('aCATCat', asWritten, parts)).toEqual(['a', 'c', 'a', 't', 'Cat']);
  });

  test.each([
    ['cat', ['cat']],
    ['cats', ['c', 'a', 't', 's']],
    ['a cat', ['a', ' ', 'cat']],
    ['acat cat', ['a', 'c', 'a', 't', ' ', 'cat']],
    ['cat.', ['cat', '.']],
    ['_cat', ['_', 'c', 'a', 't']],
    ['\u200dcat', ['\u200d', 'c', 'a', 't']],
    ['𝐀cat', ['𝐀', 'c', 'a', 't']],
    ['cat²', ['cat', '²']],
  ])('that are single words: %j', async (text, expected) => {
    expect(await pieces(text, { content: 'cat', single_word: true })).toEqual(expected);
  });

  test.each([
    ['a\ufeff[X]\ufeff', ['a', '\ufeff', '[X]', '\ufeff']],
    ['a\u0085[X]\u0085b', ['a', '[X]', 'b']],
    ['a [X] [X] b', ['a', '[X]', '[X]', 'b']],
    ['[X]  [X]', ['[X]', '[X]']],
  ])('swallow white space as Unicode has it: %j', async (text, expected) => {
    expect(await pieces(text, { content: '[X]', lstrip: true, rstrip: true })).toEqual(expected);
  });
});

describe('settings of spiece.model', () => {
  const base = readFileSync(fileURLToPath(new URL('../models/base/spiece.model', import.meta.url)));

  /** The bundled model with these bytes behind it, which protocol buffers take for changes. */
  async function changed(...bytes: number[]): Promise<Tokenizer> {
    const content = Buffer.concat([base, Uint8Array.from(bytes)]);
    return (await Tokenizer.load(await tempFolder({ 'spiece.model': content })))!;
  }

  test('remove_extra_whitespaces false keeps all spaces, and one more in front', async () => {
    const tokenizer = await changed(0x1a, 2, 0x20, 0);
    expect(tokenizer.encode(' ')).toEqual([51, 51, 1]);
    expect(tokenizer.encode('a man')).toEqual([4, 28, 1]);
    const spaced = [51, 51, 4, 51, 51, 28, 51, 51, 1];
    expect(tokenizer.encode('  a   man  ')).toEqual(spaced);
    expect(tokenizer.decode(spaced)).toBe('  a   man  ');
    expect(tokenizer.encode('\ta')).toEqual([51, 4, 1]);
    expect(tokenizer.encode('')).toEqual([1]);
  });

  const settings = { noDummy: [0x18, 0], identity: [0x12, 0], keepSpaces: [0x20, 0] };

  test.each<[string, (keyof typeof settings)[], number[]]>([
    ['man', ['noDummy'], [881]],
    ['  man  and ', ['noDummy'], [881, 30]],
    ['\ta', ['noDummy'], [161]],
    ['▁', ['noDummy'], []],
    ['  man', ['noDummy', 'keepSpaces'], [51, 28]],
    ['man▁ ▁', ['noDummy', 'keepSpaces'], [881, 51, 51, 51]],
    ['▁man', ['identity'], [51, 28]],
    ['  ▁man ▁', ['identity'], [51, 28]],
    ['▁ man▁', ['identity'], [51, 51, 28]],
    [' ▁', ['identity'], []],
    ['▁ man▁', ['identity', 'noDummy'], [51, 28]],
    ['  ▁man ▁', ['identity', 'noDummy'], [28]],
    ['a ▁man', ['identity', 'noDummy'], [161, 51, 28]],
  ])('spaces and marks at the ends: %j, %j', async (text, names, ids) => {
    const bytes = names.flatMap((name) => settings[name]);
    const tokenizer = await changed(0x1a, bytes.length, ...bytes);
    expect(tokenizer.encode(text)).toEqual([...ids, 1]);
  });

  test('add_dummy_prefix false: the space that encoding drops is not decoded', async () => {
    expect((await changed(0x1a, 2, 0x18, 0)).decode([28, 28])).toBe('man man');
    expect((await changed(0x1a, 4, 0x18, 0, 0x20, 0)).decode([28, 28])).toBe(' man man');
  });

  test('split_by_whitespace false lets pieces span words', async () => {
    const text = [0x0a, 10, ...Buffer.from('▁a▁man')];
    const score = [0x15, ...new Uint8Array(Float32Array.of(-1).buffer)];
    const piece = [0x0a, text.length + score.length, ...text, ...score];
    const tokenizer = await changed(...piece, 0x12, 3, 0xb0, 0x01, 0);
    expect(tokenizer.encode('a man')).toEqual([8000, 1]);
    expect(tokenizer.encode('a  man and a man')).toEqual([8000, 30, 8000, 1]);
    expect(tokenizer.encode('a mane')).toEqual([8000, 40, 1]);
    expect(tokenizer.decode([8000, 30, 8000])).toBe('a man and a man');
  });
});
