/**
 * The pre-tokenization a tokenizer.json asks for: how text is split into words before the model sees
 * it. The library knows JavaScript's white space and ASCII's words, one way only of splitting at
 * punctuation, and not which word begins the text; what it has no part in is done here.
 */
import { punctuationClass, wordClass } from './characters.ts';
import { flatten, spaceMark, type Step } from './definition.ts';
import {
  ByteLevelPreTokenizer,
  SequencePreTokenizer,
  type LibraryPreTokenizer,
} from './library.ts';

/** The words of a text. `first`: nothing stands before it in the input. */
export type PreTokenize = (text: string, first: boolean) => string[];

/**
 * The function that applies a step, or null where there is none. Throws an Error for a step, or a
 * way of splitting, that is not known.
 */
export function buildPreTokenizer(step: Step | null): PreTokenize | null {
  return step && buildStep(step);
}

const words = new RegExp(String.raw`[${wordClass}]+|[^${wordClass}\p{White_Space}]+`, 'gu');
const wordsOrMarks = new RegExp(
  String.raw`[^\p{White_Space}${punctuationClass}]+|[${punctuationClass}]`,
  'gu',
);
const punctuation = new RegExp(`[${punctuationClass}]`, 'gu');
const byteLevelWords =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

function buildStep(step: Step): PreTokenize {
  switch (step.type) {
    case 'Sequence':
      return sequence(step);
    case 'Metaspace':
      return metaspace(step);
    case 'SentencePiece':
      return sentencePiece(step);
    case 'WhitespaceSplit':
      return (text) => text.match(/\P{White_Space}+/gu) ?? [];
    case 'Whitespace':
      return (text) => text.match(words) ?? [];
    case 'BertPreTokenizer':
      return (text) => text.match(wordsOrMarks) ?? [];
    case 'Punctuation':
      return splitter(punctuation, step['behavior'] ?? 'Isolated', false);
    case 'Digits':
      return splitter(
        /\p{N}/gu,
        step['individual_digits'] === true ? 'Isolated' : 'Contiguous',
        false,
      );
    default:
      return fromLibrary(step);
  }
}

function sequence(step: Step): PreTokenize {
  const steps = flatten(step).map(buildStep);
  return (text, first) => {
    let pieces = [text];
    let atStart = first;
    for (const apply of steps) {
      const before = pieces[0] ?? '';
      pieces = pieces.flatMap((piece, i) => apply(piece, atStart && i === 0));
      // What begins later in the text, because white space before it was dropped, is not its start.
      atStart &&= before.startsWith(pieces[0] ?? '');
    }
    return pieces;
  };
}

function metaspace(step: Step): PreTokenize {
  const mark = spaceMark(step);
  const scheme = step['prepend_scheme'];
  const split = step['split'] !== false;
  return (text, first) => {
    let marked = text.replaceAll(' ', mark);
    const wanted = scheme === 'always' || (scheme === 'first' && first);
    if (wanted && !marked.startsWith(mark)) marked = mark + marked;
    return split ? splitBefore(marked, mark) : [marked];
  };
}

/**
 * This package's own, for SentencePiece models. Unlike Metaspace it tells a space from a mark that
 * stands in the text: at the start the one may be dropped, and the mark that is put in front is one
 * more than the other.
 */
function sentencePiece(step: Step): PreTokenize {
  const mark = spaceMark(step);
  const { add_dummy_prefix, remove_extra_whitespaces, prepend_scheme, split } = step;
  const prefix = add_dummy_prefix === true ? mark : '';
  const dropped = remove_extra_whitespaces === true ? /^ +/ : '';
  return (text, first) => {
    const starts = first || prepend_scheme === 'always';
    const kept = starts ? text.replace(dropped, '') : text;
    if (kept === '') return [];
    const marked = (starts ? prefix : '') + kept.replaceAll(' ', mark);
    return split === true ? splitBefore(marked, mark) : [marked];
  };
}

function splitBefore(text: string, mark: string): string[] {
  const parts: string[] = [];
  for (let start = 0; start < text.length;) {
    const next = text.indexOf(mark, start + 1);
    const end = next < 0 ? text.length : next;
    parts.push(text.slice(start, end));
    start = end;
  }
  return parts;
}

function fromLibrary(step: Step): PreTokenize {
  const [library] = new SequencePreTokenizer({ type: 'Sequence', pretokenizers: [step] })
    .tokenizers;
  if (step.type === 'Split') return split(step, library!);
  if (library instanceof ByteLevelPreTokenizer) library.pattern = byteLevelWords;
  return (text) => library!.pre_tokenize_text(text);
}

function split(step: Step, library: LibraryPreTokenizer): PreTokenize {
  if (!library.pattern) throw new Error('Split without a pattern');
  return splitter(library.pattern, step['behavior'], step['invert'] === true);
}

/** Splits at what matches (`invert`: at what lies between) and joins the parts as `behavior` says. */
function splitter(pattern: RegExp, behavior: unknown, invert: boolean): PreTokenize {
  // Older files have "merged_with_next" and the like.
  const join = joins[String(behavior).replaceAll('_', '').toLowerCase()];
  if (!join) throw new Error(`unknown way of splitting ${JSON.stringify(behavior)}`);
  return (text) => join(partsOf(text, pattern, invert));
}

interface Part {
  text: string;
  /** Whether it is what the text is split at. */
  isMark: boolean;
}

function partsOf(text: string, pattern: RegExp, invert: boolean): Part[] {
  const parts: Part[] = [];
  let rest = 0;
  for (const { 0: match, index } of text.matchAll(pattern)) {
    if (match === '') continue;
    if (index > rest) parts.push({ text: text.slice(rest, index), isMark: invert });
    parts.push({ text: match, isMark: !invert });
    rest = index + match.length;
  }
  if (rest < text.length) parts.push({ text: text.slice(rest), isMark: invert });
  return parts;
}

const joins: Record<string, (parts: Part[]) => string[]> = {
  isolated: (parts) => parts.map((part) => part.text),
  removed: (parts) => parts.filter((part) => !part.isMark).map((part) => part.text),
  contiguous: (parts) => joined(parts, (before, part) => before.isMark === part.isMark),
  mergedwithprevious: (parts) => joined(parts, (before, part) => part.isMark && !before.isMark),
  mergedwithnext: (parts) => joined(parts, (before, part) => before.isMark && !part.isMark),
};

/** Joins each part to the one before it where `belongs` says so. */
function joined(parts: Part[], belongs: (before: Part, part: Part) => boolean): string[] {
  const texts: string[] = [];
  parts.forEach((part, i) => {
    if (i > 0 && belongs(parts[i - 1]!, part)) texts.push(texts.pop()! + part.text);
    else texts.push(part.text);
  });
  return texts;
}
