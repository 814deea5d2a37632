/** Tokens as they come, as text that never ends in half a character. */
import { SpeccascadeError } from '../errors.ts';
import type { NativeEvent } from '../native.ts';
import type { Tokenizer } from '../tokenizer.ts';
import type { Result } from './result.ts';

interface Step {
  /** What the tokens add to the text; '' where the target has no tokenizer. */
  text: string;
  /** The tokens of one step. */
  tokens: number[];
  /** How many of `tokens`, from the front, are accepted drafts; the rest are the target's own. */
  accepted: number;
}

/** `done`: whether this is the last chunk, which has the whole output as its `result`. */
export type StreamChunk = Step & ({ done: false; result?: never } | { done: true; result: Result });

/** Turns the events of one output into chunks, handed over one at a time. */
export class ChunkQueue {
  readonly #text: { push(ids: Iterable<number>): string; end(): string } | null;
  readonly #steps: (Step & { done: boolean })[] = [];
  #wake: (() => void) | undefined;

  constructor(tokenizer: Tokenizer | null) {
    this.#text = tokenizer === null ? null : tokenizer.stream();
  }

  push(event: NativeEvent): void {
    if (event.error !== null || event.finish === 'aborted') return;
    const tokens = [...event.tokens];
    const last = event.finish !== null;
    let text = this.#text?.push(tokens) ?? '';
    if (last) text += this.#text?.end() ?? '';
    this.#steps.push({ text, tokens, accepted: event.accepted, done: last });
    this.#wake?.();
  }

  /**
   * Yields chunks until the output ends; throws its error. Once the signal has fired nothing more is
   * yielded, also of an output that had ended by then and waited to be read.
   */
  async *read(
    result: Promise<Result>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<StreamChunk, void, undefined> {
    let failure: SpeccascadeError | undefined;
    result.catch((error: SpeccascadeError) => {
      failure = error;
      this.#wake?.();
    });
    for (;;) {
      if (signal?.aborted) throw await abortedStream(result, signal);
      const step = this.#steps.shift();
      if (step !== undefined) {
        yield step.done ? { ...step, done: true, result: await result } : { ...step, done: false };
        if (step.done) return;
      } else if (failure !== undefined) {
        throw failure;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }
}

/** The output's own error, or where it had ended before: that its end was not read. */
async function abortedStream(
  result: Promise<Result>,
  { reason }: { reason: unknown },
): Promise<SpeccascadeError> {
  const whole = await result.catch((error: SpeccascadeError) => error);
  if (whole instanceof SpeccascadeError) return whole;
  const partial: Result = { ...whole, finishReason: 'aborted' };
  return new SpeccascadeError('ERR_ABORTED', 'the request was aborted', { cause: reason, partial });
}
