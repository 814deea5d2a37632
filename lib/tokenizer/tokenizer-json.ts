/** tokenizer.json, checked, with older spellings brought up to date. */
import {
  addedToken,
  flatten,
  isId,
  readStep,
  type AddedToken,
  type Definition,
  type LibraryModel,
  type UnigramModel,
} from './definition.ts';
import { damaged, isObject, type JsonObject } from './files.ts';

/**
 * The tokenizer that the content of a tokenizer.json describes. Files from before `model.type` and
 * with `add_prefix_space` instead of `prepend_scheme` are understood.
 * Throws ERR_CHECKPOINT, naming `file`, when something it needs is missing or of the wrong form.
 */
export function fromTokenizerJson(json: JsonObject, file: string): Definition {
  const model = json['model'];
  if (!isObject(model)) throw damaged(file, 'has no "model"');
  const type = modelType(model);
  const definition: Definition = {
    file,
    model: type === 'Unigram' ? unigram(model, file) : library(model, type, file),
    addedTokens: addedTokens(json['added_tokens'] ?? [], file),
    normalizer: readStep(json, 'normalizer', file),
    preTokenizer: readStep(json, 'pre_tokenizer', file),
    postProcessor: readStep(json, 'post_processor', file),
    decoder: readStep(json, 'decoder', file),
  };
  for (const step of [...flatten(definition.preTokenizer), ...flatten(definition.decoder)]) {
    if (step.type !== 'Metaspace') continue;
    step['prepend_scheme'] ??= step['add_prefix_space'] === false ? 'never' : 'always';
  }
  return definition;
}

function modelType(model: JsonObject): string {
  const { type, vocab, merges } = model;
  if (typeof type === 'string') return type;
  if (Array.isArray(vocab)) return 'Unigram';
  return Array.isArray(merges) ? 'BPE' : 'WordPiece';
}

function unigram(model: JsonObject, file: string): UnigramModel {
  const { vocab } = model;
  if (!Array.isArray(vocab) || vocab.length === 0)
    throw damaged(file, 'model.vocab is not a list of pieces');
  const pieces: string[] = [];
  const scores: number[] = [];
  for (const [id, entry] of (vocab as unknown[]).entries()) {
    const [piece, score] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof piece !== 'string' || typeof score !== 'number') {
      throw damaged(file, `model.vocab[${id}] is not a piece and its score`);
    }
    pieces.push(piece);
    scores.push(score);
  }
  const unkId = model['unk_id'] ?? pieces.indexOf('<unk>');
  if (!isId(unkId) || unkId >= pieces.length) {
    throw damaged(file, `model.unk_id is ${JSON.stringify(unkId)}, not the id of a piece`);
  }
  const byteFallback = model['byte_fallback'] === true;
  // SentencePiece never reads these out of text; their scores of 0 would beat every real piece.
  scores[unkId] = -Infinity;
  if (byteFallback)
    pieces.forEach((piece, id) => /^<0x[0-9A-F]{2}>$/.test(piece) && (scores[id] = -Infinity));
  return { type: 'Unigram', pieces, scores, unkId, byteFallback };
}

function library(model: JsonObject, type: string, file: string): LibraryModel {
  if (type !== 'BPE' && type !== 'WordPiece') {
    throw damaged(
      file,
      `model type ${JSON.stringify(type)} is not supported (Unigram, BPE and WordPiece are)`,
    );
  }
  if (type === 'BPE' && !Array.isArray(model['merges']))
    throw damaged(file, 'model.merges is not a list');
  const pieces = pieceList(model['vocab'], file);
  const unknown = model['unk_token'];
  const known = typeof unknown === 'string' && pieces.includes(unknown);
  if (type === 'WordPiece' && !known) throw damaged(file, 'model.unk_token is not in model.vocab');
  return { type, config: { ...model, type, unk_token: known ? unknown : null }, pieces };
}

/** Piece by id, from an object that gives the id of each piece. Throws ERR_CHECKPOINT. */
export function pieceList(vocab: unknown, file: string): string[] {
  if (!isObject(vocab)) throw damaged(file, 'the vocabulary is not an object of pieces and ids');
  const pieces: string[] = [];
  for (const [piece, id] of Object.entries(vocab)) {
    if (!isId(id))
      throw damaged(file, `the id of ${JSON.stringify(piece)} is ${JSON.stringify(id)}`);
    if (pieces[id] !== undefined) throw damaged(file, `id ${id} is given to two pieces`);
    pieces[id] = piece;
  }
  return pieces;
}

function addedTokens(list: unknown, file: string): AddedToken[] {
  if (!Array.isArray(list)) throw damaged(file, '"added_tokens" is not a list');
  return (list as unknown[]).map((entry, i) => {
    const { id, content } = isObject(entry) ? entry : {};
    if (!isId(id) || typeof content !== 'string' || content === '') {
      throw damaged(file, `added_tokens[${i}] has no usable "id" and "content"`);
    }
    const settings = entry as JsonObject;
    const special = settings['special'] === true;
    return addedToken(id, content, {
      ...settings,
      special,
      normalized: settings['normalized'] ?? !special,
    });
  });
}
