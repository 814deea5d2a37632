/** spiece.model, the file SentencePiece trains, turned into the tokenizer.json form. */
import { addedToken, type Definition, type Step, type UnigramModel } from './definition.ts';
import { damaged } from './files.ts';
import { fields, type WireField } from './protobuf.ts';

/** Kinds of pieces (SentencePiece.Type in sentencepiece_model.proto). */
const kinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;
/** Kinds of models (TrainerSpec.ModelType). */
const modelNames = ['', 'unigram', 'BPE', 'word', 'character'];

interface Piece {
  text: string;
  score: number;
  kind: number;
}

/** The parts of a model that matter here, with the defaults of the format. */
interface SentencePieceModel {
  pieces: Piece[];
  byteFallback: boolean;
  charsmap: Uint8Array;
  addDummyPrefix: boolean;
  removeExtraWhitespace: boolean;
}

/** The settings that would need other code, each with the only value that is understood. */
interface FixedSettings {
  modelType: number;
  /** Whether the mark of a space ends a word instead of beginning it. */
  treatWhitespaceAsSuffix: boolean;
  /** Whether spaces become `▁` at all. */
  escapeWhitespaces: boolean;
}

/**
 * Reads a SentencePiece model. Throws ERR_CHECKPOINT, naming `file`, when it is truncated or
 * damaged, holds no pieces, is not a unigram model or has a setting that is not supported.
 */
export function readSentencePiece(bytes: Uint8Array, file: string): SentencePieceModel {
  const model: SentencePieceModel = {
    pieces: [],
    byteFallback: false,
    charsmap: new Uint8Array(0),
    addDummyPrefix: true,
    removeExtraWhitespace: true,
  };
  const fixed: FixedSettings = {
    modelType: 1,
    treatWhitespaceAsSuffix: false,
    escapeWhitespaces: true,
  };
  const parts = new Set<number>();
  try {
    for (const field of fields(bytes)) {
      if (field.wire !== 'bytes') continue;
      parts.add(field.number);
      if (field.number === 1) model.pieces.push(readPiece(field.bytes));
      if (field.number === 2) readTrainer(field.bytes, model, fixed);
      if (field.number === 3) readNormalizer(field.bytes, model, fixed);
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw damaged(file, `not a SentencePiece model, or a damaged one (${reason})`, cause);
  }
  checkSettings(fixed, file);
  checkPieces(model.pieces, file);
  // They follow the pieces in every model: without them the list of pieces may be cut short, too.
  if (!parts.has(2) || !parts.has(3))
    throw damaged(file, 'has no training or normalization settings');
  return model;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function readPiece(bytes: Uint8Array): Piece {
  const piece: Piece = { text: '', score: 0, kind: kinds.normal };
  for (const field of fields(bytes)) {
    if (field.number === 1 && field.wire === 'bytes') piece.text = utf8.decode(field.bytes);
    if (field.number === 2 && field.wire === 'fixed32') piece.score = float(field.bytes);
    if (field.number === 3 && field.wire === 'varint') piece.kind = field.value;
  }
  return piece;
}

function float(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getFloat32(0, true);
}

const isOn = (field: WireField): boolean => field.wire === 'varint' && field.value !== 0;

function readTrainer(bytes: Uint8Array, model: SentencePieceModel, fixed: FixedSettings): void {
  for (const field of fields(bytes)) {
    if (field.wire !== 'varint') continue;
    if (field.number === 3) fixed.modelType = field.value;
    if (field.number === 24) fixed.treatWhitespaceAsSuffix = isOn(field);
    if (field.number === 35) model.byteFallback = isOn(field);
  }
}

function readNormalizer(bytes: Uint8Array, model: SentencePieceModel, fixed: FixedSettings): void {
  for (const field of fields(bytes)) {
    if (field.number === 2 && field.wire === 'bytes') model.charsmap = field.bytes;
    if (field.number === 3) model.addDummyPrefix = isOn(field);
    if (field.number === 4) model.removeExtraWhitespace = isOn(field);
    if (field.number === 5) fixed.escapeWhitespaces = isOn(field);
  }
}

/** Refuses what would encode to wrong ids; none of it is a default of SentencePiece's trainer. */
function checkSettings(fixed: FixedSettings, file: string): void {
  const { modelType } = fixed;
  if (modelType !== 1) {
    const name = modelNames[modelType] ?? `unknown (${modelType})`;
    throw damaged(file, `model type ${name}; only unigram models are supported`);
  }
  if (fixed.treatWhitespaceAsSuffix)
    throw damaged(file, 'treat_whitespace_as_suffix is true; only false is supported');
  if (!fixed.escapeWhitespaces)
    throw damaged(file, 'escape_whitespaces is false; only true is supported');
}

function checkPieces(pieces: Piece[], file: string): void {
  if (pieces.length === 0) throw damaged(file, 'holds no pieces (truncated, or not a model)');
  const seen = new Set<string>();
  pieces.forEach(({ text: piece, score }, id) => {
    if (piece === '' || seen.has(piece)) throw damaged(file, `piece ${id} is empty or given twice`);
    if (!Number.isFinite(score)) throw damaged(file, `the score of piece ${id} is not a number`);
    seen.add(piece);
  });
  const unknown = pieces.filter((piece) => piece.kind === kinds.unknown).length;
  if (unknown !== 1) throw damaged(file, `has ${unknown} unknown pieces instead of one`);
}

function unigram({ pieces, byteFallback }: SentencePieceModel): UnigramModel {
  const fromText = (kind: number): boolean => kind === kinds.normal || kind === kinds.userDefined;
  return {
    type: 'Unigram',
    pieces: pieces.map((piece) => piece.text),
    scores: pieces.map((piece) => (fromText(piece.kind) ? piece.score : -Infinity)),
    unkId: pieces.findIndex((piece) => piece.kind === kinds.unknown),
    byteFallback,
  };
}

/**
 * The tokenizer a SentencePiece model describes. `prepend` says what counts as the start, where
 * spaces are dropped and one is put in front: that of the text alone, or also what follows each
 * special token.
 * Throws ERR_CHECKPOINT as `readSentencePiece`.
 */
export function fromSentencePiece(
  bytes: Uint8Array,
  file: string,
  prepend: 'first' | 'always',
): Definition {
  const model = readSentencePiece(bytes, file);
  // With split_by_whitespace false, pieces span words: the words are then segmented together.
  const spansWords = model.pieces.some(({ text }) => text.includes('▁', 1));
  const { addDummyPrefix, removeExtraWhitespace } = model;
  const metaspace: Step = {
    type: 'Metaspace',
    replacement: '▁',
    // A mark in front of the text is one that encoding puts there, or would have dropped.
    prepend_scheme: addDummyPrefix || removeExtraWhitespace ? prepend : 'never',
    leading_only: spansWords,
  };
  const normalizers: Step[] = [];
  if (model.charsmap.length > 0) {
    normalizers.push({ type: 'Precompiled', precompiled_charsmap: model.charsmap });
  }
  if (removeExtraWhitespace) {
    normalizers.push(
      // SentencePiece takes away spaces only; the character map has made most white space into them.
      { type: 'Strip', strip_left: false, strip_right: true, sentence_piece: true },
      { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
    );
  }
  return {
    file,
    model: unigram(model),
    addedTokens: model.pieces.flatMap(({ text: piece, kind }, id) =>
      kind === kinds.control || kind === kinds.userDefined
        ? [addedToken(id, piece, { special: kind === kinds.control })]
        : [],
    ),
    normalizer: { type: 'Sequence', normalizers },
    preTokenizer: {
      ...{ type: 'SentencePiece', replacement: '▁', prepend_scheme: prepend, split: !spansWords },
      add_dummy_prefix: addDummyPrefix,
      remove_extra_whitespaces: removeExtraWhitespace,
    },
    postProcessor: null,
    decoder: model.byteFallback
      ? { type: 'Sequence', decoders: [metaspace, { type: 'ByteFallback' }] }
      : metaspace,
  };
}
