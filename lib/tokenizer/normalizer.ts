/**
 * The normalization a tokenizer.json asks for. The steps T5 uses are done here, exactly as the
 * reference does them; the rest is the library's.
 */
import { charsmapNormalizer } from './charsmap.ts';
import { flatten, type Step } from './definition.ts';
import { damaged } from './files.ts';
import { SequenceNormalizer } from './library.ts';

type Normalize = (text: string) => string;

/** The function that applies all steps, or null where there are none. */
export function buildNormalizer(normalizer: Step | null, file: string): Normalize | null {
  const steps = flatten(normalizer).map((step) => buildStep(step, file));
  if (steps.length === 0) return null;
  return (text) => steps.reduce((done, step) => step(done), text);
}

function buildStep(step: Step, file: string): Normalize {
  switch (step.type) {
    case 'Precompiled': {
      const map = step['precompiled_charsmap'] ?? '';
      const bytes = typeof map === 'string' ? Buffer.from(map, 'base64') : map;
      if (!(bytes instanceof Uint8Array)) throw damaged(file, 'precompiled_charsmap is not text');
      return bytes.length === 0 ? (text) => text : charsmapNormalizer(bytes, file);
    }
    case 'Strip': {
      // `spaces_only` is this package's own, for SentencePiece models.
      const space = step['spaces_only'] === true ? / / : whiteSpace;
      return strip(step['strip_left'] === true, step['strip_right'] === true, space);
    }
    default: {
      const library = new SequenceNormalizer({ type: 'Sequence', normalizers: [step] });
      return (text) => library.normalize(text);
    }
  }
}

/** Unicode's white space, which is not quite what `trim` removes. */
const whiteSpace = /\p{White_Space}/u;

/** Removes white space, all of which is single UTF-16 units, from the ends of a text. */
function strip(left: boolean, right: boolean, space: RegExp): Normalize {
  return (text) => {
    let start = 0;
    let end = text.length;
    while (right && end > start && space.test(text[end - 1]!)) end--;
    while (left && start < end && space.test(text[start]!)) start++;
    return text.slice(start, end);
  };
}
