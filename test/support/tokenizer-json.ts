/** A SentencePiece model in the form of the tokenizers library, as converters write it. */
import { readFileSync } from 'node:fs';
import { readSentencePiece } from '../../lib/tokenizer/spiece.ts';

/** What tokenizer.json holds for the spiece.model `file`, of the form of the bundled ones. */
export function tokenizerJson(file: string): Record<string, unknown> {
  const { pieces, charsmap } = readSentencePiece(readFileSync(file), file);
  const marks = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true };
  const end = { SpecialToken: { id: '</s>', type_id: 0 } };
  const special = (id: number, content: string): object => ({
    ...{ id, content, special: true, normalized: false },
    ...{ single_word: false, lstrip: false, rstrip: false },
  });
  return {
    version: '1.0',
    added_tokens: [special(0, '<pad>'), special(1, '</s>')],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        {
          type: 'Precompiled',
          precompiled_charsmap: Buffer.from(charsmap).toString('base64'),
        },
        { type: 'Strip', strip_left: false, strip_right: true },
        { type: 'Replace', pattern: { Regex: ' {2,}' }, content: '▁' },
      ],
    },
    pre_tokenizer: marks,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ Sequence: { id: 'A', type_id: 0 } }, end],
      special_tokens: { '</s>': { id: '</s>', ids: [1], tokens: ['</s>'] } },
    },
    decoder: marks,
    model: {
      type: 'Unigram',
      unk_id: 2,
      vocab: pieces.map(({ text, score }) => [text, score]),
      byte_fallback: false,
    },
  };
}
