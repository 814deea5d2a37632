/** vocab.json and merges.txt, the byte-level byte-pair encoding of RoBERTa and CodeT5. */
import path from 'node:path';
import type { Definition } from './definition.ts';
import { damaged, type JsonObject } from './files.ts';
import { roleToken, type Declarations } from './special-tokens.ts';
import { pieceList } from './tokenizer-json.ts';

/** The merges in order of rank. Throws ERR_CHECKPOINT, naming the line that is not a pair. */
function readMerges(text: string, file: string): [string, string][] {
  const merges: [string, string][] = [];
  text.split('\n').forEach((raw, i) => {
    const line = raw.replace(/\r$/, '');
    if (line === '' || (i === 0 && line.startsWith('#version'))) return;
    const pair = line.split(' ');
    if (pair.length !== 2 || pair[0] === '' || pair[1] === '') {
      throw damaged(file, `line ${i + 1} is not a pair of pieces`);
    }
    merges.push(pair as [string, string]);
  });
  return merges;
}

/**
 * The tokenizer of a folder with vocab.json and merges.txt: text becomes `<s> ... </s>`, with the
 * tokens that the folder declares for these roles.
 * Throws ERR_CHECKPOINT when either file is damaged or the vocabulary lacks one of the two.
 */
export function fromByteLevelBpe(
  folder: string,
  vocab: JsonObject,
  mergesText: string,
  declarations: Declarations,
): Definition {
  const file = path.join(folder, 'vocab.json');
  const pieces = pieceList(vocab, file);
  const merges = readMerges(mergesText, path.join(folder, 'merges.txt'));
  const addPrefixSpace = declarations.tokenizerConfig['add_prefix_space'] === true;
  const idOf = (role: string, usual: string): [string, number] => {
    const token = roleToken(declarations, role) ?? usual;
    const id = pieces.indexOf(token);
    if (id < 0) throw damaged(file, `lacks ${JSON.stringify(token)}, the ${role}`);
    return [token, id];
  };
  const unknownToken = roleToken(declarations, 'unk_token');
  const unknown = pieces.find((piece) => piece === unknownToken) ?? null;
  return {
    file,
    model: { type: 'BPE', config: { type: 'BPE', vocab, merges, unk_token: unknown }, pieces },
    addedTokens: [],
    normalizer: null,
    preTokenizer: { type: 'ByteLevel', add_prefix_space: addPrefixSpace, use_regex: true },
    postProcessor: {
      type: 'RobertaProcessing',
      sep: idOf('sep_token', '</s>'),
      cls: idOf('cls_token', '<s>'),
    },
    decoder: { type: 'ByteLevel' },
  };
}
