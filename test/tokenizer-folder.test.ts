import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { locate } from '../lib/model-source.ts';
import { Tokenizer } from '../lib/tokenizer.ts';
import { tempFolder } from './support/checkpoint-builder.ts';
import { soundFile, tinyConfig } from './support/checkpoint-parts.ts';
import { goldenFolder } from './support/golden-files.ts';
import { tokenizerJson } from './support/tokenizer-json.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
let scratch = '';
let count = 0;

beforeAll(async () => {
  scratch = await tempFolder();
});

/** A folder with the given JSON files, and copies of files of this repository. */
function folder(files: Record<string, object>, copies: string[] = []): string {
  const made = path.join(scratch, String(count++));
  mkdirSync(made);
  for (const [name, value] of Object.entries(files)) {
    writeFileSync(path.join(made, name), JSON.stringify(value));
  }
  for (const file of copies)
    copyFileSync(path.join(root, file), path.join(made, path.basename(file)));
  return made;
}

async function load(files: Record<string, object>, copies: string[] = []): Promise<Tokenizer> {
  const tokenizer = await Tokenizer.load(folder(files, copies));
  if (!tokenizer) throw new Error('no tokenizer');
  return tokenizer;
}

const spiece = ['models/base/spiece.model'];
const json = { 'tokenizer.json': tokenizerJson(path.join(root, spiece[0]!)) };

describe('a folder', () => {
  test('without a vocabulary gives null', async () => {
    expect(await Tokenizer.load(folder({}))).toBeNull();
    const ids = { 'config.json': { model_type: 't5', vocab_size: 384 } };
    expect(await Tokenizer.load(folder(ids))).toBeNull();
    expect(await Tokenizer.load(goldenFolder('umt5'))).toBeNull();
    expect(await Tokenizer.load(folder({ 'vocab.json': { a: 0 } }))).toBeNull();
  });

  test('that cannot be opened is ERR_CHECKPOINT, as for models', async () => {
    const missing = path.join(scratch, 'missing');
    await expect(Tokenizer.load(missing)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' });
    const file = path.join(root, 'package.json');
    await expect(Tokenizer.load(file)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' });
  });

  test.skipIf(process.platform === 'win32')('with a pipe for a vocabulary is refused', async () => {
    const made = folder({});
    execFileSync('mkfifo', [path.join(made, 'spiece.model')]);
    await expect(Tokenizer.load(made)).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message: expect.stringMatching(/spiece\.model: expected a regular file/) as string,
    });
  });

  test("whose config.json leaves vocab_size to its family's default takes all of its ids", async () => {
    const config = { ...tinyConfig, vocab_size: null, tokenizer_class: 'ByT5Tokenizer' };
    const made = folder({ 'config.json': config });
    writeFileSync(path.join(made, 'model.safetensors'), soundFile());
    const { tokenizer } = await locate(made);
    expect(tokenizer?.vocabSize).toBe(384);
    expect(tokenizer?.decode([68, 32127])).toBe('A');
    expect(() => tokenizer?.decode([32128])).toThrow('32128');
  });

  test('whose ids have a gap has no piece there', async () => {
    const whole = tokenizerJson(path.join(root, spiece[0]!));
    const { vocab } = whole['model'] as { vocab: unknown[] };
    const added = { content: '<x>', special: true, normalized: false, single_word: false };
    const token = { id: vocab.length + 3, ...added, lstrip: false, rstrip: false };
    const tokens = [...(whole['added_tokens'] as object[]), token];
    const tokenizer = await load({ 'tokenizer.json': { ...whole, added_tokens: tokens } });
    expect(tokenizer.encode('<x>')).toEqual([token.id, 1]);
    const options = { skipSpecialTokens: false };
    expect(tokenizer.decode([token.id, vocab.length + 1], options)).toBe('<x>');
  });

  test('with both files uses tokenizer.json', async () => {
    const copies = [...spiece, 'test/fixtures/tokenizer/older-form/tokenizer.json'];
    expect((await load({}, copies)).kind).toBe('tokenizer.json');
  });
});

describe('the sentinels of spiece.model', () => {
  test('are 100, <extra_id_0> last', async () => {
    const tokenizer = await load({}, spiece);
    expect(tokenizer.vocabSize).toBe(8100);
    expect(tokenizer.encode('<extra_id_0> a <extra_id_99>')).toEqual([8099, 4, 8000, 1]);
    expect(tokenizer.decode([4, 8099, 28])).toBe('a man');
    expect(tokenizer.decode([8099, 28], { skipSpecialTokens: false })).toBe('<extra_id_0> man');
  });

  test('are there when the model has rows for all of them, else not at all', async () => {
    expect((await load({ 'config.json': { vocab_size: 8128 } }, spiece)).vocabSize).toBe(8100);
    expect((await load({ 'config.json': { vocab_size: 8064 } }, spiece)).vocabSize).toBe(8000);
  });

  test('are as many as tokenizer_config.json says, as far as the model has rows', async () => {
    const config = { 'config.json': { vocab_size: 8064 } };
    const none = await load({ ...config, 'tokenizer_config.json': { extra_ids: 0 } }, spiece);
    expect(none.vocabSize).toBe(8000);
    const ten = await load({ ...config, 'tokenizer_config.json': { extra_ids: 10 } }, spiece);
    expect(ten.encode('<extra_id_0>')).toEqual([8009, 1]);
    const many = await load({ ...config, 'tokenizer_config.json': { extra_ids: 100 } }, spiece);
    expect(many.vocabSize).toBe(8064);
    expect(Math.max(...many.encode('<extra_id_0> <extra_id_36> <extra_id_99>'))).toBe(8063);
  });

  test('have the ids that added_tokens_decoder gives', async () => {
    const listed = { 8000: { content: '<extra_id_0>', special: true }, 8001: { content: '[X]' } };
    const tokenizer = await load(
      { 'tokenizer_config.json': { added_tokens_decoder: listed } },
      spiece,
    );
    expect(tokenizer.vocabSize).toBe(8002);
    expect(tokenizer.encode('<extra_id_0> a[X]')).toEqual([8000, 4, 8001, 1]);
    expect(tokenizer.decode([8000, 4, 8001])).toBe('a[X]');
  });
});

describe('declared tokens', () => {
  test('beyond the rows of the model are left out', async () => {
    const files = {
      'config.json': { vocab_size: 8001 },
      'tokenizer_config.json': { additional_special_tokens: ['<one>', { content: '<two>' }] },
    };
    const tokenizer = await load({ ...json, ...files });
    expect(tokenizer.vocabSize).toBe(8001);
    expect(tokenizer.encode('<one>')).toEqual([8000, 1]);
    expect(Math.max(...tokenizer.encode('<two>'))).toBeLessThan(8000);
  });

  test('keep the id their text has, and take a free one where theirs is taken', async () => {
    const added = { man: 28, '<new>': 5, '▁a': 7 };
    const tokenizer = await load({ ...json, 'added_tokens.json': added });
    expect(tokenizer.encode('<new>')).toEqual([8000, 1]);
    expect(tokenizer.decode([4])).toBe('a');
  });

  test('may strip the white space around them', async () => {
    const listed = { 8000: { content: '<m>', lstrip: true, rstrip: true, special: true } };
    const files = { 'tokenizer_config.json': { added_tokens_decoder: listed, extra_ids: 0 } };
    const tokenizer = await load(files, spiece);
    expect(tokenizer.encode('a  <m>  man')).toEqual([
      4,
      8000,
      ...tokenizer.encode('<m>man').slice(1),
    ]);
  });

  test('change the fingerprint', async () => {
    const plain = await load({ 'tokenizer_config.json': { extra_ids: 0 } }, spiece);
    const more = await load({ 'tokenizer_config.json': { extra_ids: 1 } }, spiece);
    const bundled = await Tokenizer.load(path.join(root, 'models/small'));
    expect(plain.fingerprint).toBe(bundled?.fingerprint);
    expect(more.fingerprint).not.toBe(plain.fingerprint);
  });

  test('a vocabulary with more pieces than the model has rows is ERR_CHECKPOINT', async () => {
    const made = folder({ 'config.json': { vocab_size: 7999 } }, spiece);
    await expect(Tokenizer.load(made)).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message: expect.stringMatching(/spiece\.model.*8000.*7999/) as string,
    });
  });
});

describe('legacy: true', () => {
  test('puts a space in front of text after a special token, else there is none', async () => {
    const sentinel = '<extra_id_0>man';
    const always = await load({ 'tokenizer_config.json': { legacy: true } }, spiece);
    expect(always.encode(sentinel)).toEqual([8099, 28, 1]);
    expect(always.decode([8099, 28])).toBe('man');
    const first = await load({}, spiece);
    expect(first.encode(sentinel)).not.toEqual([8099, 28, 1]);
  });
});

describe('tokenizer.json of other kinds', () => {
  const model = { vocab: { '[UNK]': 0, '[SEP]': 1, he: 2, '##llo': 3 }, unk_token: '[UNK]' };
  const wordPieces = {
    added_tokens: [{ id: 1, content: '[SEP]', special: false, normalized: false }],
    pre_tokenizer: { type: 'BertPreTokenizer' },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: false },
    model: { ...model, type: 'WordPiece', continuing_subword_prefix: '##' },
  };

  test('word pieces: the text comes at the end of a stream', async () => {
    const files = { 'tokenizer.json': wordPieces, 'tokenizer_config.json': { eos_token: '[SEP]' } };
    const tokenizer = await load(files);
    expect(tokenizer.encode('hello he ?')).toEqual([2, 3, 2, 0, 1]);
    expect(tokenizer.decode([2, 3, 2, 1])).toBe('hello he');
    const stream = tokenizer.stream();
    expect([stream.push([2]), stream.push([3, 2, 1]), stream.end()]).toEqual(['', '', 'hello he']);
  });

  test('byte pairs without an unknown token leave out what they cannot spell', async () => {
    const vocab = { '</s>': 0, a: 1, b: 2, ab: 3 };
    const bytePairs = { type: 'BPE', vocab, merges: ['a b'], unk_token: '<unk>' };
    const tokenizer = await load({ 'tokenizer.json': { model: bytePairs } });
    expect(tokenizer.encode('abxa')).toEqual([3, 1, 0]);
  });
});

describe('ByT5', () => {
  test('is recognised by the tokenizer class in either file', async () => {
    const named = { tokenizer_class: 'ByT5Tokenizer', vocab_size: 384 };
    expect((await load({ 'config.json': named })).kind).toBe('byt5');
    expect((await load({ 'tokenizer_config.json': named })).kind).toBe('byt5');
    const other = { 'config.json': named, 'tokenizer_config.json': { tokenizer_class: 'Other' } };
    expect(await Tokenizer.load(folder(other))).toBeNull();
  });

  test('has no more sentinels than the model has rows', async () => {
    const config = { tokenizer_class: 'ByT5Tokenizer', vocab_size: 261 };
    const tokenizer = await load({ 'config.json': config });
    expect(tokenizer.vocabSize).toBe(261);
    expect(tokenizer.encode('<extra_id_1>')).toEqual([260, 1]);
    expect(Math.max(...tokenizer.encode('<extra_id_2>'))).toBeLessThan(259);
  });

  test("lets padding, end and unknown swallow what is white space to Python's strip", async () => {
    const tokenizer = await load({ 'config.json': { tokenizer_class: 'ByT5Tokenizer' } });
    const swallowed = ' \t\u0085\x1c\x1f\u2028\u3000';
    const around = `a${swallowed}<unk>${swallowed}b`;
    expect(tokenizer.encode(around)).toEqual([100, 2, 101, 1]);
    expect(tokenizer.encode('a\ufeff<pad>\u200b')).toEqual([
      ...[100, 0xef + 3, 0xbb + 3, 0xbf + 3, 0],
      ...[0xe2 + 3, 0x80 + 3, 0x8b + 3, 1],
    ]);
    expect(tokenizer.encode('a <extra_id_0> b')).toEqual([100, 35, 259, 35, 101, 1]);
  });

  test('without a row for every byte is ERR_CHECKPOINT', async () => {
    const config = { tokenizer_class: 'ByT5Tokenizer', vocab_size: 258 };
    await expect(Tokenizer.load(folder({ 'config.json': config }))).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message: expect.stringContaining('258') as string,
    });
  });

  test('streams whole characters', async () => {
    const tokenizer = await load({ 'config.json': { tokenizer_class: 'ByT5Tokenizer' } });
    const stream = tokenizer.stream();
    const parts = tokenizer.encode('é😀\ufeff').map((id) => stream.push([id]));
    expect(parts).toEqual(['', 'é', '', '', '', '😀', '', '', '\ufeff', '']);
  });
});
