/**
 * ByT5: no vocabulary file; a byte's id is the byte plus 3, after padding, end and unknown, and the
 * sentinels and other added tokens follow (`<extra_id_0>` is 259).
 */
import path from 'node:path';
import { TokenFinder } from './added-tokens.ts';
import { pythonWhiteSpace, strip } from './characters.ts';
import type { Codec } from './codec.ts';
import { isId, type AddedToken } from './definition.ts';
import { damaged, isObject } from './files.ts';
import {
  TokenSet,
  declareListed,
  declareSpecial,
  modelVocabSize,
  mostExtraIds,
  roleToken,
  type Declarations,
} from './special-tokens.ts';
import { byteFallback } from './stages.ts';

const offset = 3;
/** The tokens before the bytes. */
const roles = ['pad_token', 'eos_token', 'unk_token'];
const firstSentinel = offset + 256;
const usualExtraIds = 125;
const usualEndId = 1;

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
 * ByT5's tokenizer, with the tokens that are listed, and as many sentinels as `extra_ids` says,
 * as far as the model has rows. Throws ERR_CHECKPOINT when the model, in `folder`, has fewer rows
 * than there are bytes and special tokens.
 */
export function byt5Codec(declarations: Declarations, folder: string): Codec {
  const rows = modelVocabSize(declarations) ?? Infinity;
  if (rows < firstSentinel) {
    const file = path.join(folder, 'config.json');
    throw damaged(file, `vocab_size is ${rows}, but ByT5 has ${firstSentinel} ids and sentinels`);
  }
  const tokens = declaredTokens(declarations, rows);
  const added = [...tokens.added.values()];
  const pieces: string[] = [];
  for (let byte = 0; byte < 256; byte++)
    pieces[byte + offset] = `<0x${byte.toString(16).padStart(2, '0')}>`;
  for (const { id, content } of added) pieces[id] = content;
  const endId = tokens.ids.get(roleToken(declarations, 'eos_token')!) ?? usualEndId;
  const split = splitter(added);

  return {
    kind: 'byt5',
    pieces,
    specialIds: new Set(added.filter((token) => token.special).map((token) => token.id)),
    encode(text) {
      const found = split(text).flatMap((part) => tokens.added.get(part)?.id ?? byteIds(part));
      // The reference adds no second end token.
      if (found.at(-1) !== endId) found.push(endId);
      return found;
    },
    decoder: () => byteFallback('drop'),
  };
}

const byteIds = (text: string): number[] =>
  Array.from(Buffer.from(text, 'utf8'), (byte) => byte + offset);

/**
 * The tokens that a folder declares. transformers saves sentinels as it does other added tokens, by
 * their ids, and `extra_ids` as 0.
 */
function declaredTokens(declarations: Declarations, rows: number): TokenSet {
  const { tokenizerConfig } = declarations;
  // What is listed for an id decides on its token, even where the role has passed to another.
  const listed = roles.map((_, id) => listedText(tokenizerConfig['added_tokens_decoder'], id));
  const names = roles.map((role, id) => listed[id] ?? roleToken(declarations, role)!);
  // The reference knows a byte by the character of that number: as a token, `é` is byte 0xe9.
  const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
  const tokens = new TokenSet([...names, ...bytes], [], rows);
  names.forEach((name, id) => {
    if (listed[id] !== undefined) return;
    const entry = tokenizerConfig[roles[id]!];
    // Unless it is said otherwise, these swallow the white space around them.
    tokens.declare(name, id, isObject(entry) ? entry : { lstrip: true, rstrip: true });
  });
  declareListed(tokens, declarations);
  const extraIds = tokenizerConfig['extra_ids'];
  const number = Math.min(isId(extraIds) ? extraIds : usualExtraIds, mostExtraIds);
  for (let n = 0; n < number; n++) tokens.declare(`<extra_id_${n}>`, firstSentinel + n, {});
  declareSpecial(tokens, declarations);
  return tokens;
}

/** The text of the token that `added_tokens_decoder` gives for an id, if it does. */
function listedText(decoder: unknown, id: number): string | undefined {
  const entry = isObject(decoder) ? decoder[id] : undefined;
  const content = isObject(entry) ? entry['content'] : undefined;
  return typeof content === 'string' && content !== '' ? content : undefined;
}

/**
 * Cuts a text into added tokens and what lies between, as the tokenizers written in Python do. There
 * only U+0020 and the ends of the text set a single word apart: beside another token it is none, and
 * both become ordinary text.
 */
function splitter(added: readonly AddedToken[]): (text: string) => string[] {
  const tokens = new Map(added.map((token) => [token.content, token]));
  const plain = added.map((one) => ({ ...one, lstrip: false, rstrip: false, single_word: false }));
  const finder = new TokenFinder(plain, (content) => content);
  return (text) => {
    const parts = finder.split(text).map((section) => section.text);
    for (let i = 0; i < parts.length; i++) {
      const token = tokens.get(parts[i]!);
      if (token) applySettings(token, parts, i);
    }
    return parts.filter((part) => part !== '');
  };
}

/** What the settings of the token that is `parts[i]` make of it and the parts beside it. */
function applySettings(token: AddedToken, parts: string[], i: number): void {
  const left = parts[i - 1] ?? '';
  const right = parts[i + 1] ?? '';
  if (token.lstrip && left !== '') parts[i - 1] = strip(left, false, true, pythonWhiteSpace);
  if (token.rstrip && right !== '') parts[i + 1] = strip(right, true, false, pythonWhiteSpace);
  if (!token.single_word) return;
  if (left !== '' && !left.endsWith(' ')) {
    parts[i - 1] += token.content;
    parts[i] = '';
  } else if (right !== '' && !right.startsWith(' ')) {
    parts[i + 1] = token.content + parts[i + 1]!;
    parts[i] = '';
  }
}
