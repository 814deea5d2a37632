/**
 * Decoding as a chain of stages, each of which takes the pieces (or text) one after the other and
 * gives text as soon as it is certain: one implementation for whole sequences and for streams.
 */
import { flatten, spaceMark, type Step } from './definition.ts';
import { SequenceDecoder } from './library.ts';
import { Utf8Stream, type InvalidBytes } from './utf8.ts';

export interface Stage {
  /** The text that this piece makes certain. */
  push(piece: string): string;
  /** The text still held back. Called once, at the end. */
  end(): string;
}

/** A stage that turns each piece into text by itself. */
const each = (convert: (piece: string) => string): Stage => ({ push: convert, end: () => '' });

/** One stage after the other. */
export function chain(stages: Stage[]): Stage {
  const run = (text: string, from: number): string => {
    let out = text;
    for (let i = from; i < stages.length && out !== ''; i++) out = stages[i]!.push(out);
    return out;
  };
  return {
    push: (piece) => run(piece, 0),
    end: () => stages.map((stage, i) => run(stage.end(), i + 1)).join(''),
  };
}

/**
 * `▁` is a space, save in the first piece, where it is the one that encoding put in front.
 * `leading_only` is this package's own, for SentencePiece models whose pieces span words: elsewhere
 * the reference drops every mark of the first piece.
 */
function metaspace(step: Step): Stage {
  const mark = spaceMark(step);
  const leadingOnly = step['leading_only'] === true;
  let first = step['prepend_scheme'] !== 'never';
  return each((piece) => {
    let shown = piece;
    if (first && leadingOnly) shown = piece.startsWith(mark) ? piece.slice(mark.length) : piece;
    else if (first) shown = piece.replaceAll(mark, '');
    first = false;
    return shown.replaceAll(mark, ' ');
  });
}

/** `<0x41>` is a byte; the bytes are UTF-8. Other pieces pass. */
export function byteFallback(invalid: InvalidBytes): Stage {
  const utf8 = new Utf8Stream(invalid);
  return {
    push(piece) {
      const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece)?.[1];
      return byte === undefined ? utf8.end() + piece : utf8.push(Number.parseInt(byte, 16));
    },
    end: () => utf8.end(),
  };
}

/** The printable character that stands for each byte in byte-level vocabularies, and back. */
const byteOfCharacter = new Map<string, number>();
{
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    byteOfCharacter.set(String.fromCharCode(printable ? byte : next++), byte);
  }
}

/** Pieces spell bytes, a character for each; a piece with any other character is plain text. */
function byteLevel(): Stage {
  const utf8 = new Utf8Stream('sequence');
  return {
    push(piece) {
      const bytes = Array.from(piece, (character) => byteOfCharacter.get(character));
      const known = bytes.includes(undefined) ? Buffer.from(piece, 'utf8') : (bytes as number[]);
      let text = '';
      for (const byte of known) text += utf8.push(byte);
      return text;
    },
    end: () => utf8.end(),
  };
}

/** Up to `start` leading and `stop` trailing occurrences of a character are dropped from the whole. */
export function stripEnds(content: string, start: number, stop: number): Stage {
  let leading = start;
  let held = '';
  return {
    push(text) {
      let all = held + text;
      while (leading > 0 && all.startsWith(content)) {
        all = all.slice(content.length);
        leading--;
      }
      if (all !== '') leading = 0;
      let cut = all.length;
      for (let n = 0; n < stop && all.endsWith(content, cut); n++) cut -= content.length;
      held = all.slice(cut);
      return all.slice(0, cut);
    },
    end: () => '',
  };
}

/** Any decoder, by holding everything back until the end. */
export function whole(decode: (pieces: string[]) => string): Stage {
  const pieces: string[] = [];
  return {
    push(piece) {
      pieces.push(piece);
      return '';
    },
    end: () => (pieces.length === 0 ? '' : decode(pieces)),
  };
}

/** The stages of a decoder, or null where one of its steps cannot give text before the end. */
export function decoderStages(decoder: Step): Stage[] | null {
  const stages: Stage[] = [];
  let before = '';
  let joined = false;
  for (const step of flatten(decoder)) {
    // Bytes come out as text; a step that looks at pieces could no longer tell them apart.
    if (before === 'ByteFallback' && step.type !== 'Fuse') return null;
    const stage = joined ? stageOfText(step) : stageOfPieces(step);
    if (stage === null) return null;
    stages.push(stage);
    before = step.type;
    joined ||= before === 'ByteLevel' || before === 'Fuse';
  }
  return stages;
}

/** A step that sees piece after piece. */
function stageOfPieces(step: Step): Stage | null {
  switch (step.type) {
    case 'Metaspace':
      return metaspace(step);
    case 'ByteLevel':
      return byteLevel();
    case 'ByteFallback':
      return byteFallback('each');
    case 'Fuse':
      return each((text) => text);
    case 'Replace':
    case 'Strip': {
      const library = new SequenceDecoder({ type: 'Sequence', decoders: [step] });
      return each((piece) => library.decode([piece]));
    }
    default:
      return null;
  }
}

/** A step after the pieces have been joined: where they met can no longer be told. */
function stageOfText(step: Step): Stage | null {
  const { content, start, stop } = step;
  if (step.type === 'Fuse') return each((text) => text);
  if (step.type !== 'Strip' || typeof content !== 'string' || content.length !== 1) return null;
  return stripEnds(content, Number(start ?? 0), Number(stop ?? 0));
}
