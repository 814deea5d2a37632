/**
 * ByT5: no vocabulary file; a byte's id is the byte plus 3, after padding, end and unknown, and the
 * sentinels follow in ascending order (`<extra_id_0>` is 259).
 */
import path from 'node:path';
import { pythonWhiteSpace, strip } from './characters.ts';
import type { Codec } from './codec.ts';
import { isId } from './definition.ts';
import { damaged } from './files.ts';
import { modelVocabSize, mostExtraIds, type Declarations } from './special-tokens.ts';
import { byteFallback } from './stages.ts';

const offset = 3;
const endId = 1;
const special = ['<pad>', '</s>', '<unk>'];
const firstSentinel = offset + 256;
const usualExtraIds = 125;

/**
 * Whether a folder without a vocabulary file is a ByT5 checkpoint: tokenizer_config.json or
 * config.json names its tokenizer class. Nothing is concluded from a vocabulary of 384 ids alone: a
 * model that works on ids may have as many.
 */
export function isByt5({ config, tokenizerConfig }: Declarations): boolean {
  const named = tokenizerConfig['tokenizer_class'] ?? config['tokenizer_class'];
  return named === 'ByT5Tokenizer' || (named === undefined && config['model_type'] === 'byt5');
}

/**
 * ByT5's tokenizer, with as many sentinels as are declared and as the model has rows for; other
 * added tokens are not looked at. Throws ERR_CHECKPOINT when the model, in `folder`, has fewer rows
 * than there are bytes and special tokens.
 */
export function byt5Codec(declarations: Declarations, folder: string): Codec {
  const declared = declarations.tokenizerConfig['extra_ids'];
  const rows = modelVocabSize(declarations) ?? Infinity;
  const room = Math.min(rows - firstSentinel, mostExtraIds);
  if (room < 0) {
    const file = path.join(folder, 'config.json');
    throw damaged(file, `vocab_size is ${rows}, but ByT5 has ${firstSentinel} ids and sentinels`);
  }
  const extraIds = Math.min(isId(declared) ? declared : usualExtraIds, room);
  const ids = new Map(special.map((piece, id) => [piece, id]));
  for (let n = 0; n < extraIds; n++) ids.set(`<extra_id_${n}>`, firstSentinel + n);
  const pieces = Array.from({ length: 256 + offset }, (_, id) =>
    id < offset ? special[id]! : `<0x${(id - offset).toString(16).padStart(2, '0')}>`,
  );
  for (const [piece, id] of ids) pieces[id] = piece;
  const splitter = /<pad>|<\/s>|<unk>|<extra_id_\d+>/g;

  return {
    kind: 'byt5',
    pieces,
    specialIds: new Set(ids.values()),
    encode(text) {
      const found: number[] = [];
      let start = 0;
      let swallow = false;
      const spellUpTo = (end: number, swallowNext: boolean): void => {
        const part = strip(text.slice(start, end), swallow, swallowNext, pythonWhiteSpace);
        for (const byte of Buffer.from(part, 'utf8')) found.push(byte + offset);
        swallow = swallowNext;
      };
      for (const { 0: token, index } of text.matchAll(splitter)) {
        const id = ids.get(token);
        if (id === undefined) continue;
        // The reference lets padding, end and unknown swallow the white space around them.
        spellUpTo(index, id < offset);
        found.push(id);
        start = index + token.length;
      }
      spellUpTo(text.length, false);
      // The reference adds no second end token.
      if (found.at(-1) !== endId) found.push(endId);
      return found;
    },
    decoder: () => byteFallback('drop'),
  };
}
