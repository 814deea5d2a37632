/**
 * The tokens a checkpoint folder declares beside its vocabulary: in tokenizer_config.json,
 * special_tokens_map.json and added_tokens.json, and T5's sentinels `<extra_id_n>`.
 */
import { addedToken, isId, pieceTable, type AddedToken, type Definition } from './definition.ts';
import { damaged, isObject, type JsonObject } from './files.ts';

/** The small files beside a vocabulary; an absent one is an empty object. */
export interface Declarations {
  /** config.json, of the model. */
  config: JsonObject;
  /** tokenizer_config.json laid over special_tokens_map.json. */
  tokenizerConfig: JsonObject;
  /** added_tokens.json: id by text. */
  addedTokens: JsonObject;
}

/** A bound on what is believed of `extra_ids`; T5 has 100, and a wrong number must not fill the memory. */
export const mostExtraIds = 10_000;

/** Special tokens that have a role, with the text T5 gives those it has. */
const roles: Record<string, string | undefined> = {
  eos_token: '</s>',
  unk_token: '<unk>',
  pad_token: '<pad>',
  bos_token: undefined,
  sep_token: undefined,
  cls_token: undefined,
  mask_token: undefined,
};

/** The text of the token in a role; a token is declared as its text or as an object holding it. */
export function roleToken({ tokenizerConfig }: Declarations, role: string): string | undefined {
  const declared = tokenizerConfig[role];
  const content = isObject(declared) ? declared['content'] : declared;
  return typeof content === 'string' && content !== '' ? content : roles[role];
}

/** vocab_size of config.json: ids from there on have no row in the model. Undefined if not given. */
export function modelVocabSize({ config }: Declarations): number | undefined {
  const size = config['vocab_size'];
  return isId(size) && size > 0 ? size : undefined;
}

/**
 * The definition with all declared tokens added.
 *
 * - A declared token whose text is a piece already keeps that piece's id; else it takes the id it is
 *   declared with if that one is free, else the next free one.
 * - Tokens in a role (end, padding, unknown ...) are special whether or not the vocabulary's file
 *   says so, but none is made up that it lacks.
 * - `defaultExtraIds` sentinels are appended in descending order (`<extra_id_0>` is the last id)
 *   if the vocabulary has none; tokenizer_config.json's `extra_ids` overrides the number. Without
 *   that word they are left out where the model's padded vocabulary has no room for all of them.
 * - No added token gets an id for which the model has no row.
 *
 * Throws ERR_CHECKPOINT when the vocabulary's own pieces outnumber the model's rows.
 */
export function withDeclaredTokens(
  definition: Definition,
  declarations: Declarations,
  defaultExtraIds: number,
): Definition {
  const rows = modelVocabSize(declarations) ?? Infinity;
  const count = definition.model.pieces.length;
  if (count > rows) {
    throw damaged(definition.file, `has ${count} pieces, but config.json's vocab_size is ${rows}`);
  }
  const inRange = definition.addedTokens.filter((token) => token.id < rows);
  const pieces = pieceTable({ ...definition, addedTokens: inRange });
  const tokens = new TokenSet(pieces, inRange, rows);
  declareListed(tokens, declarations);
  declareExtraIds(tokens, declarations.tokenizerConfig['extra_ids'], defaultExtraIds, rows);
  declareSpecial(tokens, declarations);
  const { model } = definition;
  if (model.type === 'Unigram') tokens.declare(model.pieces[model.unkId]!, undefined, {});
  return { ...definition, addedTokens: [...tokens.added.values()] };
}

/** Tokens declared together with their ids. */
export function declareListed(
  tokens: TokenSet,
  { tokenizerConfig, addedTokens }: Declarations,
): void {
  const listed = tokenizerConfig['added_tokens_decoder'];
  for (const [id, settings] of Object.entries(isObject(listed) ? listed : {})) {
    const content = isObject(settings) ? settings['content'] : undefined;
    if (!isObject(settings) || typeof content !== 'string' || content === '') continue;
    tokens.declare(content, Number(id), { ...settings, special: settings['special'] === true });
  }
  for (const [content, id] of Object.entries(addedTokens)) {
    if (content === '' || tokens.added.has(content)) continue;
    // The file holds ids alone; which of its tokens are special, other files say.
    tokens.declare(content, Number(id), { special: /^<extra_id_\d+>$/.test(content) });
  }
}

/** Tokens declared as special, without ids; those in a role only where the vocabulary has them. */
export function declareSpecial(tokens: TokenSet, declarations: Declarations): void {
  const { tokenizerConfig } = declarations;
  const lists = [
    tokenizerConfig['additional_special_tokens'],
    tokenizerConfig['extra_special_tokens'],
  ].filter(Array.isArray);
  for (const entry of lists.flat() as unknown[]) {
    const content = isObject(entry) ? entry['content'] : entry;
    if (typeof content !== 'string' || content === '') continue;
    tokens.declare(content, undefined, { ...(isObject(entry) ? entry : {}), special: true });
  }
  for (const role of Object.keys(roles)) {
    const content = roleToken(declarations, role);
    if (content === undefined || !tokens.ids.has(content)) continue;
    const entry = tokenizerConfig[role];
    tokens.declare(content, undefined, { ...(isObject(entry) ? entry : {}), special: true });
  }
}

function declareExtraIds(tokens: TokenSet, declared: unknown, usual: number, rows: number): void {
  const explicit = isId(declared);
  const number = explicit ? Math.min(declared, mostExtraIds) : usual;
  if (tokens.ids.has('<extra_id_0>')) return;
  if (!explicit && tokens.next + number > rows) return;
  for (let n = number - 1; n >= 0; n--) tokens.declare(`<extra_id_${n}>`, undefined, {});
}

/** The pieces and added tokens of a vocabulary, growing. */
export class TokenSet {
  readonly ids = new Map<string, number>();
  readonly added: Map<string, AddedToken>;
  next = 0;
  readonly #rows: number;
  readonly #taken = new Set<number>();

  /** `pieces` has the texts of the added tokens, too. No token gets an id from `rows` on. */
  constructor(pieces: readonly string[], added: readonly AddedToken[], rows: number) {
    this.#rows = rows;
    this.added = new Map(added.map((token) => [token.content, token]));
    pieces.forEach((piece, id) => this.#note(piece, id));
  }

  /** Adds a token, or settings to one; where `wanted` is taken, a new one gets the next free id. */
  declare(content: string, wanted: number | undefined, settings: JsonObject): void {
    const old = this.added.get(content);
    const free = wanted !== undefined && isId(wanted) && !this.#taken.has(wanted);
    const id = this.ids.get(content) ?? (free ? wanted : this.next);
    if (id >= this.#rows) return;
    this.added.set(content, addedToken(id, content, { ...old, ...settings }));
    this.#note(content, id);
  }

  #note(content: string, id: number): void {
    this.ids.set(content, id);
    this.#taken.add(id);
    this.next = Math.max(this.next, id + 1);
  }
}
