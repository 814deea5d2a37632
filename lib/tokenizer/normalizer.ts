/**
 * The normalization a tokenizer.json asks for. The steps T5 uses are done here, exactly as the
 * reference does them; the rest is the library's.
 */
import { lowercase, strip, whiteSpace } from './characters.ts';
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
      // `sentence_piece` is this package's own: spaces, and the marks that stand for them.
      const space = step['sentence_piece'] === true ? /[ ▁]/ : whiteSpace;
      const left = step['strip_left'] === true;
      const right = step['strip_right'] === true;
      return (text) => strip(text, left, right, space);
    }
    case 'Lowercase':
      return lowercase;
    case 'BertNormalizer':
      return bert(step);
    default: {
      const library = new SequenceNormalizer({ type: 'Sequence', normalizers: [step] });
      return (text) => library.normalize(text);
    }
  }
}

/** Chinese characters; as in the reference, without U+2B820 to U+2B91F. */
const chinese =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

/** BERT's normalization; the library's takes characters beyond U+FFFF apart. */
function bert(step: Step): Normalize {
  const clean = step['clean_text'] === true;
  const spaced = step['handle_chinese_chars'] === true;
  const lower = step['lowercase'] === true;
  const strip = step['strip_accents'] ?? lower;
  return (text) => {
    let out = text;
    if (clean) {
      out = out.replace(/(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\uFFFD]/gu, '');
      out = out.replace(/\p{White_Space}/gu, ' ');
    }
    if (spaced) out = out.replace(chinese, ' $& ');
    if (strip === true) out = out.normalize('NFD').replace(/\p{Mn}/gu, '');
    return lower ? lowercase(out) : out;
  };
}
