import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { Tokenizer } from '../lib/tokenizer.ts';
import { references } from './support/references.ts';
import { tempFolder } from './support/checkpoint-builder.ts';
import { readJson } from './support/models.ts';
import { tokenizerJson } from './support/tokenizer-json.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const bundled = ['large', 'base', 'small'] as const;
/** As the bundled ones, from the other file that checkpoints come with. */
const converted = 'large, as tokenizer.json';
const names = [...bundled, converted] as const;

const tokenizers = {} as Record<(typeof names)[number], Tokenizer>;
const cases = references<[string | number, number[]]>('bundled');
const captions = ['en', 'de'].flatMap((language) =>
  readFileSync(path.join(root, `examples/captions/test_2016.${language}`), 'utf8')
    .trimEnd()
    .split('\n'),
);

beforeAll(async () => {
  for (const name of bundled) {
    const loaded = await Tokenizer.load(path.join(root, 'models', name));
    if (!loaded) throw new Error(`models/${name} has no tokenizer`);
    tokenizers[name] = loaded;
  }
  const json = tokenizerJson(path.join(root, 'models/large/spiece.model'));
  tokenizers[converted] = (await Tokenizer.load(await tempFolder({ 'tokenizer.json': json })))!;
});

describe('the bundled models', () => {
  test('load from the file each of them has', () => {
    for (const name of bundled) expect(tokenizers[name].kind).toBe('spiece.model');
    expect(tokenizers[converted].kind).toBe('tokenizer.json');
  });

  test('have the same vocabulary, whichever file it came from', () => {
    for (const name of names) {
      expect(tokenizers[name].vocabSize).toBe(8000);
      expect(tokenizers[name].fingerprint).toBe(tokenizers.large.fingerprint);
    }
    expect(tokenizers.large.fingerprint).toMatch(/^[0-9a-f]{64}$/);
  });

  test.each(names)('%s encodes as the reference does', (name) => {
    expect(cases.length).toBeGreaterThan(400);
    for (const [shown, ids] of cases) {
      // A caption stands as its number.
      const text = typeof shown === 'number' ? captions[shown]! : shown;
      expect(tokenizers[name].encode(text), JSON.stringify(text)).toEqual(ids);
    }
  });

  test.each(bundled)('%s reads and writes what its golden outputs hold', (name) => {
    const file = path.join(root, 'models', name, 'golden.json.gz');
    const golden = readJson(file) as {
      prefix: string;
      cases: { text: string; inputIds: number[]; tokens: number[]; output: string }[];
    };
    for (const { text, inputIds, tokens, output } of golden.cases) {
      expect(tokenizers[name].encode(golden.prefix + text)).toEqual(inputIds);
      expect(tokenizers[name].decode(tokens)).toBe(output);
    }
  });
});

describe('encode', () => {
  test('appends the end token, also to nothing', () => {
    expect(tokenizers.large.encode('')).toEqual([1]);
    expect(tokenizers.large.encode('a man')).toEqual([4, 28, 1]);
  });

  test('reads the text of a special token as that token', () => {
    expect(tokenizers.large.encode('a man</s>')).toEqual([4, 28, 1, 1]);
    expect(tokenizers.large.encode('<pad>')).toEqual([0, 1]);
    expect(tokenizers.large.encode('<unk>')).toEqual([2, 1]);
  });

  test('takes lone surrogates for U+FFFD', () => {
    for (const lone of ['\ud800', '\udc00', 'a\ud83d', '\ude00\ud83d b', '\ud800\ud800\udc00']) {
      const replaced = Buffer.from(lone, 'utf8').toString('utf8');
      expect(tokenizers.base.encode(lone)).toEqual(tokenizers.base.encode(replaced));
    }
  });

  test('takes time in proportion to the text', () => {
    const seconds = (text: string): number => {
      const start = performance.now();
      tokenizers.large.encode(text);
      return (performance.now() - start) / 1000;
    };
    for (const unit of ['a', 'xyzzy ', ' ', '日', '\u0301', '</s>', '- ', '\t\n', 'ä']) {
      seconds(unit.repeat(1000));
      // About 0.1 s on the machine it was written on; in quadratic time it would be minutes.
      expect(seconds(unit.repeat(300_000 / unit.length) + 'x'), JSON.stringify(unit)).toBeLessThan(
        5,
      );
    }
  });

  test('refuses what is not text', () => {
    for (const value of [undefined, null, 7, ['a']]) {
      expect(() => tokenizers.large.encode(value as unknown as string)).toThrow(
        expect.objectContaining({ code: 'ERR_INPUT' }),
      );
    }
  });
});

describe('decode', () => {
  test('of nothing is nothing', () => {
    expect(tokenizers.large.decode([])).toBe('');
    expect(tokenizers.large.stream().end()).toBe('');
  });

  test('takes any iterable', () => {
    const ids = tokenizers.large.encode('Two dogs play.');
    expect(tokenizers.large.decode(Int32Array.from(ids))).toBe('Two dogs play.');
    expect(tokenizers.large.decode(new Set(ids))).toBe('Two dogs play.');
  });

  test('leaves special tokens out unless asked for them', () => {
    const ids = [0, 4, 28, 2, 1];
    expect(tokenizers.large.decode(ids)).toBe('a man');
    expect(tokenizers.large.decode(ids, { skipSpecialTokens: false })).toBe('<pad> a man<unk></s>');
  });

  test('gives nothing for ids of the padding of the vocabulary', () => {
    expect(tokenizers.large.decode([4, 8000, 28, 8063])).toBe('a man');
  });

  test.each([-1, 8064, 1.5, NaN, Infinity, '4', 4n, null])('refuses the id %s by name', (id) => {
    expect(() => tokenizers.large.decode([4, id as number])).toThrow(
      expect.objectContaining({
        code: 'ERR_INPUT',
        message: expect.stringContaining(String(id)) as string,
      }),
    );
  });
});

describe('a stream', () => {
  test.each([1, 2, 3, 7])('gives the same text in portions of %i', (size) => {
    for (const [, ids] of cases) {
      for (const options of [{}, { skipSpecialTokens: false }]) {
        const stream = tokenizers.base.stream(options);
        let text = '';
        for (let i = 0; i < ids.length; i += size) text += stream.push(ids.slice(i, i + size));
        expect(text + stream.end()).toBe(tokenizers.base.decode(ids, options));
      }
    }
  });

  test('drops the first space only in front of the first token it shows', () => {
    const stream = tokenizers.large.stream();
    expect([[0], [], [4], [28]].map((ids) => stream.push(ids))).toEqual(['', '', 'a', ' man']);
    expect(stream.end()).toBe('');
  });

  test('counts none of the ids when one is wrong', () => {
    const stream = tokenizers.large.stream();
    expect(() => stream.push([4, 28, 9999])).toThrow('9999');
    expect(stream.push([28])).toBe('man');
  });

  test.each([
    [null, 'received null'],
    [undefined, 'received undefined'],
    [5, 'received 5'],
    ['5', 'received "5"'],
    [{}, 'received an object (Object)'],
  ])('refuses ids that are %j', (ids, received) => {
    const { large } = tokenizers;
    for (const call of [
      () => large.decode(ids as never),
      () => large.stream().push(ids as never),
    ]) {
      expect(call).toThrow(`ids: expected an iterable of token ids, ${received}`);
      expect(call).toThrow(expect.objectContaining({ code: 'ERR_INPUT' }));
    }
  });

  test('refuses options that mean nothing', () => {
    const { large } = tokenizers;
    for (const options of [null, { skipSpecial: true }, { skipSpecialTokens: 'no' }]) {
      const call = (): string => large.decode([4], options as never);
      expect(call).toThrow(expect.objectContaining({ code: 'ERR_INPUT' }));
    }
  });

  test('ends once', () => {
    const stream = tokenizers.large.stream();
    stream.push([4]);
    expect(stream.end()).toBe('');
    expect(stream.end()).toBe('');
    expect(() => stream.push([4])).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }));
  });
});
