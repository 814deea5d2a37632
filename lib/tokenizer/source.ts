/** Which of the forms of a vocabulary a checkpoint folder has, and the tokenizer it gives. */
import path from 'node:path';
import { checkFolder } from '../checkpoint/json-file.ts';
import { fromByteLevelBpe } from './byte-level-bpe.ts';
import { byt5Codec, isByt5 } from './byt5.ts';
import type { Codec } from './codec.ts';
import { readBytes, readJson, readText } from './files.ts';
import { jsonCodec } from './json-codec.ts';
import { roleToken, withDeclaredTokens, type Declarations } from './special-tokens.ts';
import { fromSentencePiece } from './spiece.ts';
import { fromTokenizerJson } from './tokenizer-json.ts';

/** Sentinels that T5 appends to the pieces of its SentencePiece model. */
const usualExtraIds = 100;

/**
 * The tokenizer of a folder, and what is declared beside it. `rows`: the ids that the model has, by
 * default as config.json says, if it does. Null where the folder has none. The forms are tried in this order: tokenizer.json;
 * spiece.model; vocab.json with merges.txt; ByT5, which has no file.
 * Throws ERR_CHECKPOINT (file and reason).
 */
export async function findCodec(
  folder: string,
  rows?: number,
): Promise<{ codec: Codec; declarations: Declarations } | null> {
  await checkFolder(folder);
  const declarations = await readDeclarations(folder, rows);
  const codec = await readCodec(folder, declarations);
  return codec && { codec, declarations };
}

async function readDeclarations(folder: string, rows?: number): Promise<Declarations> {
  const [config, tokenizerConfig, specialTokens, addedTokens] = await Promise.all(
    ['config.json', 'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json'].map(
      async (name) => (await readJson(folder, name)) ?? {},
    ),
  );
  return {
    config: rows === undefined ? config! : { ...config, vocab_size: rows },
    tokenizerConfig: { ...specialTokens, ...tokenizerConfig },
    addedTokens: addedTokens!,
  };
}

async function readCodec(folder: string, declarations: Declarations): Promise<Codec | null> {
  const endToken = roleToken(declarations, 'eos_token')!;
  const json = await readJson(folder, 'tokenizer.json');
  if (json) {
    const definition = fromTokenizerJson(json, path.join(folder, 'tokenizer.json'));
    return jsonCodec(withDeclaredTokens(definition, declarations, 0), 'tokenizer.json', endToken);
  }

  const spiece = await readBytes(folder, 'spiece.model');
  if (spiece) {
    // Without the word `legacy: true`, only the start of the text gets a space: as tokenizer.json
    // files made since have it.
    const prepend = declarations.tokenizerConfig['legacy'] === true ? 'always' : 'first';
    const definition = fromSentencePiece(spiece, path.join(folder, 'spiece.model'), prepend);
    const declared = withDeclaredTokens(definition, declarations, usualExtraIds);
    return jsonCodec(declared, 'spiece.model', endToken);
  }

  const vocab = await readJson(folder, 'vocab.json');
  const merges = await readText(folder, 'merges.txt');
  if (vocab && merges !== null) {
    const definition = fromByteLevelBpe(folder, vocab, merges, declarations);
    return jsonCodec(withDeclaredTokens(definition, declarations, 0), 'tokenizer.json', endToken);
  }
  return isByt5(declarations) ? byt5Codec(declarations, folder) : null;
}
