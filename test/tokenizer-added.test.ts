/**
 * Added tokens beside the vocabulary: those that transformers saves for ByT5, and text that only
 * resembles them. What is expected was printed by transformers 5.18 and tokenizers 0.23.
 */
import { describe, expect, test } from 'vitest';
import { TokenFinder } from '../lib/tokenizer/added-tokens.ts';
import { addedToken } from '../lib/tokenizer/definition.ts';
import { Tokenizer } from '../lib/tokenizer.ts';
import { tempFolder } from './support/checkpoint-builder.ts';

async function load(files: Record<string, object>): Promise<Tokenizer> {
  return (await Tokenizer.load(await tempFolder(files)))!;
}

const shown = { skipSpecialTokens: false };

describe('ByT5 as transformers saves it', () => {
  const role = { lstrip: true, rstrip: true, special: false };
  const roles = ['<pad>', '</s>', '<unk>'].map((content) => ({ ...role, content }));
  const names = Array.from({ length: 125 }, (_, n) => `<extra_id_${n}>`);
  const sentinels = Object.fromEntries(
    names.map((content, n) => [259 + n, { content, special: true }]),
  );
  const ids = Object.fromEntries(names.map((content, n) => [content, 259 + n]));
  const named = { tokenizer_class: 'ByT5Tokenizer', eos_token: '</s>', pad_token: '<pad>' };
  const saved = { ...named, extra_ids: 0, extra_special_tokens: names };

  const withTokens = (added: object): Promise<Tokenizer> =>
    load({
      'config.json': { model_type: 't5', vocab_size: 387 },
      'tokenizer_config.json': {
        ...saved,
        added_tokens_decoder: { ...roles, ...sentinels, ...added },
      },
      'added_tokens.json': ids,
    });

  test('has the sentinels that are listed, though extra_ids is 0', async () => {
    const tokenizer = await withTokens({});
    expect(tokenizer.vocabSize).toBe(384);
    expect(tokenizer.encode('a<extra_id_0>b<extra_id_124>')).toEqual([100, 259, 101, 383, 1]);
    expect(tokenizer.decode([100, 259])).toBe('a');
    expect(tokenizer.decode([259, 383, 1], shown)).toBe('<extra_id_0><extra_id_124></s>');
  });

  test('has the token table of the checkpoint it was made from', async () => {
    const original = { ...named, extra_ids: 125 };
    const { fingerprint } = await load({ 'tokenizer_config.json': original });
    expect((await withTokens({})).fingerprint).toBe(fingerprint);
    expect((await withTokens({ 384: { content: '<sep>' } })).fingerprint).not.toBe(fingerprint);
    const listed = { 'tokenizer_config.json': saved, 'added_tokens.json': ids };
    expect((await load(listed)).fingerprint).toBe(fingerprint);
    expect((await load({ 'tokenizer_config.json': saved })).fingerprint).toBe(fingerprint);
  });

  test.each<[string, number[]]>([
    ['a \t<sep>\u3000b', [100, 384, 101]],
    ['<sep><extra_id_1> ', [384, 260, 35]],
    ['a<sepx>b', [100, 386, 101]],
    ['a word b', [100, 35, 385, 35, 101]],
    ['word', [385]],
    ['sword', [118, 122, 114, 117, 103]],
    ['word.', [122, 114, 117, 103, 49]],
    ['<sep>word', [63, 118, 104, 115, 65, 122, 114, 117, 103]],
    ['é驩', [236, 236, 172, 172]],
    ['é <sep>', [236, 384]],
    ['a </s> <unk>b', [100, 1, 2, 101]],
  ])('finds added tokens: %j', async (text, expected) => {
    const tokenizer = await withTokens({
      236: { content: 'é' },
      384: { content: '<sep>', lstrip: true, rstrip: true },
      385: { content: 'word', single_word: true },
      386: { content: '<sepx>' },
    });
    expect(tokenizer.vocabSize).toBe(387);
    expect(tokenizer.encode(text)).toEqual([...expected, 1]);
    expect(tokenizer.decode([100, 259, 384, 236, 101, 1])).toBe('a<sep>éb');
  });

  test('ends texts with the token that has become the end token', async () => {
    const moved = { ...roles, 259: { content: '<end>', special: true } };
    const config = { ...named, extra_ids: 0, eos_token: '<end>', added_tokens_decoder: moved };
    const tokenizer = await load({ 'tokenizer_config.json': config });
    expect(tokenizer.encode('a</s>')).toEqual([100, 1, 259]);
    expect(tokenizer.encode('a <end>')).toEqual([100, 35, 259]);
  });

  test('keeps the white space around tokens that are declared not to swallow it', async () => {
    const config = { ...named, eos_token: { content: '</s>', lstrip: false, rstrip: false } };
    const tokenizer = await load({ 'tokenizer_config.json': config });
    expect(tokenizer.encode('a </s> <pad>')).toEqual([100, 35, 1, 0, 1]);
  });

  test('has no token for which the model has no row', async () => {
    const tokenizer = await withTokens({ 387: { content: '<sep>' } });
    expect(tokenizer.vocabSize).toBe(384);
    expect(tokenizer.encode('<sep>')).toEqual([63, 118, 104, 115, 65, 1]);
  });
});

describe('text that only resembles an added token is spelled in the pieces of the model', () => {
  const added = (id: number, content: string): object => ({ id, content, single_word: true });
  const vocab = { '<unk>': 0, '</s>': 1 };

  test('word pieces', async () => {
    const wordPieces = { ...vocab, wor: 2, '##d': 3, '##y': 4 };
    const model = { type: 'WordPiece', vocab: wordPieces, unk_token: '<unk>' };
    const tokenizer = await load({
      'tokenizer.json': {
        added_tokens: [added(5, 'word')],
        pre_tokenizer: { type: 'BertPreTokenizer' },
        model: { ...model, continuing_subword_prefix: '##' },
      },
    });
    expect(tokenizer.encode('wordy')).toEqual([2, 3, 4, 1]);
    expect(tokenizer.encode('sword word')).toEqual([0, 5, 1]);
  });

  test('byte pairs; unknown characters are one in each word', async () => {
    const pairs = { vocab: { ...vocab, w: 2, o: 3, wo: 4 }, merges: ['w o'] };
    const model = { type: 'BPE', ...pairs, unk_token: '<unk>', fuse_unk: true };
    const tokenizer = await load({
      'tokenizer.json': {
        added_tokens: [added(5, 'é'), added(6, 'ow')],
        pre_tokenizer: { type: 'WhitespaceSplit' },
        model: { ...model, ignore_merges: true },
      },
    });
    expect(tokenizer.encode('woé é')).toEqual([4, 0, 5, 1]);
    expect(tokenizer.encode('éé x')).toEqual([0, 0, 1]);
    expect(tokenizer.encode('ow-wow ow')).toEqual([6, 0, 4, 2, 6, 1]);
  });

  test('unigrams', async () => {
    const pieces = Object.entries({ '<unk>': 0, '</s>': 0, '▁': -1, w: -1, o: -1, wo: -1.5 });
    const tokenizer = await load({
      'tokenizer.json': {
        added_tokens: [added(6, 'ow')],
        pre_tokenizer: { type: 'Metaspace' },
        model: { type: 'Unigram', unk_id: 0, vocab: pieces },
      },
    });
    expect(tokenizer.encode('wow')).toEqual([2, 5, 3, 1]);
    expect(tokenizer.encode('wo ow')).toEqual([2, 5, 2, 6, 1]);
  });
});

test('white space between two tokens that swallow it belongs to the first', () => {
  const tokens = [addedToken(5, '<x>', { rstrip: true }), addedToken(6, '<y>', { lstrip: true })];
  const sections = new TokenFinder(tokens, (content) => content).split('a<x>  <y> b');
  expect(sections.map(({ text, start }) => [text, start])).toEqual([
    ['a', 0],
    ['<x>  ', 1],
    ['<y>', 6],
    [' b', 9],
  ]);
});
