/** From what callers pass as input to the token ids that the engine takes. */
import type { Tokenizer } from '../tokenizer.ts';
import { checkTokens, inputError, show } from '../validate.ts';
import { SpeccascadeError } from '../errors.ts';
import type { SessionSettings } from './options.ts';

/** A text, or its token ids (with the end token, as the model expects it). */
export type Input = string | readonly number[] | Int32Array;

/** The ids of one input. Errors: ERR_INPUT naming the input and what is wrong with it. */
export function inputTokens(name: string, input: Input, session: SessionSettings): Int32Array {
  const { tokenizer, config } = session.target;
  const ids =
    typeof input === 'string'
      ? textTokens(name, input, tokenizer, config.eosTokenIds)
      : checkTokens(name, checkIds(name, input), config.vocabSize);
  if (ids.length === 0) throw inputError(name, 'at least one token id', input);
  if (ids.length <= session.maxInputTokens) return ids;
  if (!session.truncate) {
    throw new SpeccascadeError(
      'ERR_INPUT',
      `${name}: expected at most maxInputTokens (${session.maxInputTokens}) tokens, received ` +
        `${ids.length}; truncate: true (--truncate on the command line) cuts longer inputs`,
    );
  }
  return truncated(ids, session.maxInputTokens, config.eosTokenIds);
}

function checkIds(name: string, input: unknown): Input {
  if (Array.isArray(input) || input instanceof Int32Array) return input as Input;
  throw inputError(name, 'a text or a list of token ids', input);
}

function textTokens(
  name: string,
  text: string,
  tokenizer: Tokenizer | null,
  endTokens: number[],
): Int32Array {
  if (tokenizer === null) {
    throw inputError(name, 'token ids (the target has no tokenizer)', text);
  }
  const ids = Int32Array.from(tokenizer.encode(text));
  if (ids.every((id) => endTokens.includes(id))) {
    throw new SpeccascadeError(
      'ERR_INPUT',
      `${name}: expected a text with at least one token, received ${show(text)}`,
    );
  }
  return ids;
}

/** The first tokens, the last one giving way to the input's end token if it has one. */
function truncated(ids: Int32Array, length: number, endTokens: number[]): Int32Array {
  const cut = ids.slice(0, length);
  const last = ids[ids.length - 1]!;
  if (endTokens.includes(last)) cut[length - 1] = last;
  return cut;
}
