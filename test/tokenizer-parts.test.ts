import { describe, expect, test } from 'vitest';
import { charsmapNormalizer } from '../lib/tokenizer/charsmap.ts';
import { PieceTrie } from '../lib/tokenizer/piece-trie.ts';
import { fields } from '../lib/tokenizer/protobuf.ts';
import { decoderStages, stripEnds, whole, type Stage } from '../lib/tokenizer/stages.ts';
import { Unigram } from '../lib/tokenizer/unigram.ts';
import { Utf8Stream } from '../lib/tokenizer/utf8.ts';

/** Reproducible numbers from 0 to below - 1. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
}

describe('Utf8Stream', () => {
  const awkward = [
    0x41, 0x80, 0xbf, 0xc0, 0xc3, 0xa9, 0xe0, 0xa0, 0xe2, 0x82, 0xac, 0xed, 0x9f, 0xef, 0xbb,
  ];
  awkward.push(0xf0, 0x90, 0x9f, 0x98, 0xf4, 0x8f, 0xf5, 0xff);

  test('agrees with TextDecoder, where that has the same rule', () => {
    const random = generator(1);
    const reference = new TextDecoder('utf-8', { ignoreBOM: true });
    for (let round = 0; round < 5000; round++) {
      const bytes = Array.from({ length: random(9) }, () => awkward[random(awkward.length)]!);
      const stream = new Utf8Stream('sequence');
      const text = bytes.map((byte) => stream.push(byte)).join('') + stream.end();
      expect(text).toBe(reference.decode(Uint8Array.from(bytes)));
    }
  });

  test('marks each invalid byte, or drops it', () => {
    const bytes = [0xe2, 0x82, 0x41, 0xff, 0xf0, 0x9f, 0x98];
    const run = (stream: Utf8Stream): string =>
      bytes.map((byte) => stream.push(byte)).join('') + stream.end();
    expect(run(new Utf8Stream('each'))).toBe('\ufffd\ufffdA\ufffd\ufffd\ufffd\ufffd');
    expect(run(new Utf8Stream('drop'))).toBe('A');
  });
});

describe('PieceTrie', () => {
  test('finds what was added, and no more, beyond its first size', () => {
    const random = generator(2);
    const pieces = Array.from({ length: 5000 }, () =>
      Array.from({ length: 1 + random(6) }, () => String.fromCharCode(0x61 + random(900))).join(''),
    );
    const trie = new PieceTrie();
    const ids = new Map<string, number>();
    pieces.forEach((piece, id) => {
      trie.add(piece, id);
      ids.set(piece, id);
    });
    const find = (text: string): number => {
      let node = 0;
      for (let i = 0; i < text.length && node >= 0; i++)
        node = trie.child(node, text.charCodeAt(i));
      return node <= 0 ? -1 : trie.idAt(node);
    };
    for (const piece of pieces) {
      expect(find(piece)).toBe(ids.get(piece));
      const other = piece.slice(0, -1) + '!';
      expect(find(other)).toBe(ids.get(other) ?? -1);
    }
  });
});

describe('Unigram', () => {
  const pieces = ['<unk>', 'a', 'b', 'ab', 'ba', 'aab', '😀', '😀a', 'abab'];
  const scores = [-Infinity, -2, -2.5, -4, -4.25, -7, -3, -4.5, -7.5];

  /** Best total over all segmentations, one after the other. */
  function bestScore(text: string): number {
    if (text === '') return 0;
    const width = text.codePointAt(0)! > 0xffff ? 2 : 1;
    let best = -Infinity;
    if (!pieces.includes(text.slice(0, width))) best = -7.5 - 10 + bestScore(text.slice(width));
    pieces.forEach((piece, id) => {
      if (id === 0 || !text.startsWith(piece)) return;
      best = Math.max(best, scores[id]! + bestScore(text.slice(piece.length)));
    });
    return best;
  }

  test('finds a segmentation of the largest score', () => {
    const random = generator(3);
    const model = new Unigram({ pieces, scores, unkId: 0 });
    for (let round = 0; round < 500; round++) {
      const text = Array.from({ length: random(9) }, () => ['a', 'b', '😀'][random(3)]).join('');
      const ids = model.encode(text);
      expect(ids.map((id) => pieces[id]).join('')).toBe(text);
      const total = ids.reduce((sum, id) => sum + scores[id]!, 0);
      expect(total).toBeCloseTo(bestScore(text), 10);
    }
  });

  test('takes of equal sums the one found first, as SentencePiece does', () => {
    const model = new Unigram({
      pieces: ['<unk>', 'a', 'aa'],
      scores: [-Infinity, -1, -2],
      unkId: 0,
    });
    // Printed by sentencepiece 0.2.2 for a model of these pieces.
    expect(model.encode('aaa')).toEqual([1, 2]);
    expect(model.encode('aaaa')).toEqual([2, 2]);
  });

  test('gives one unknown id for a run of unknown characters, or their bytes', () => {
    expect(new Unigram({ pieces, scores, unkId: 0 }).encode('a日本b')).toEqual([1, 0, 2]);
    const byteIds = Array.from({ length: 256 }, (_, byte) => 1000 + byte);
    const bytes = new Unigram({ pieces, scores, unkId: 0, byteIds }).encode('a€b');
    expect(bytes).toEqual([1, 1000 + 0xe2, 1000 + 0x82, 1000 + 0xac, 2]);
  });
});

describe('protobuf fields', () => {
  test('reads negative numbers as they are stored, in ten bytes', () => {
    const minusOne = Uint8Array.of(0x08, ...new Uint8Array(9).fill(0xff), 0x01);
    expect([...fields(minusOne)]).toEqual([{ number: 1, wire: 'varint', value: -1 }]);
  });

  test('passes over what it does not know', () => {
    const message = Uint8Array.of(0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x1d, 1, 2, 3, 4, 0x22, 1, 65);
    expect([...fields(message)].map((field) => field.wire)).toEqual([
      'fixed64',
      'fixed32',
      'bytes',
    ]);
  });

  test.each([[0x0b], [0x0c], [0x0e], [0x00], [0x0a, 5], [0x0d, 1], [0x80]])(
    'refuses %j',
    (...message) => {
      expect(() => [...fields(Uint8Array.from(message))]).toThrow(RangeError);
    },
  );
});

describe('charsmapNormalizer', () => {
  test('takes a zero byte for no part of a key, as tokenizers 0.23 does', () => {
    const units = new Uint32Array(512); // zeros where no key leads
    const key = 256 ^ 0x62;
    units[0] = 256 << 10;
    units[key] = ((key ^ 257) << 10) | 0x100 | 0x62;
    units[257] = 0x80000000;
    const size = Uint8Array.from([0, 8, 0, 0]);
    const map = Buffer.concat([size, new Uint8Array(units.buffer), Buffer.from('x\0')]);
    const normalize = charsmapNormalizer(map, 'file');
    expect(['a\0b', '\0b', 'b\0b'].map(normalize)).toEqual(['a\0x', '\0x', 'x\0x']);
  });

  test('survives a trie that points outside itself', () => {
    const random = generator(4);
    for (let round = 0; round < 200; round++) {
      const map = Uint8Array.from({ length: 4 + 4 * 64 + 8 }, () => random(256));
      new DataView(map.buffer).setUint32(0, 4 * 64, true);
      const normalize = charsmapNormalizer(map, 'file');
      expect(typeof normalize('Zwei Männer, 日本 😀')).toBe('string');
    }
  });
});

describe('decoder stages', () => {
  const decode = (stage: Stage, pieces: string[]): string[] => [
    ...pieces.map((piece) => stage.push(piece)),
    stage.end(),
  ];

  test('strip the ends of the whole text, not of each piece', () => {
    expect(decode(stripEnds(' ', 1, 2), ['  a', ' ', 'b ', '  ', 'c   '])).toEqual([
      ' a',
      '',
      ' b',
      ' ',
      '  c ',
      '',
    ]);
  });

  test('of an unknown kind wait for the end', () => {
    expect(decoderStages({ type: 'WordPiece', prefix: '##' })).toBeNull();
    expect(
      decode(
        whole((pieces) => pieces.join('+')),
        ['a', 'b'],
      ),
    ).toEqual(['', '', 'a+b']);
  });
});
