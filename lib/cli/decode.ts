/** From a line of input to its outputs, for whichever view shows them. */
import { isRecordFailure } from '../batch/record.ts';
import { SpeccascadeError } from '../errors.ts';
import type { DecodeSession } from '../session.ts';
import type { Input } from '../session/inputs.ts';
import type { GenerateOptions } from '../session/options.ts';
import type { Result } from '../session/result.ts';
import { deriveSeed, randomSeed } from '../session/seeds.ts';
import type { StreamChunk } from '../session/stream.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { inputError } from '../validate.ts';
import type { Line } from './lines.ts';
import type { Statistics } from './statistics.ts';
import type { Step } from './trace.ts';

export interface Output {
  result: Result;
  /** What each step emitted; null unless asked for. */
  steps: Step[] | null;
}

export type Outcome =
  | { line: Line; outputs: Output[] }
  /** A line of white space: nothing to decode, and no failure. */
  | { line: Line; empty: true }
  | { line: Line; error: SpeccascadeError };

interface DecoderOptions {
  session: DecodeSession;
  tokenizer: Tokenizer | null;
  prefix: string;
  statistics: Statistics;
  signal: AbortSignal;
  /** Seed of the first line's first sample; undefined: every line gets a random one. */
  seed: bigint | undefined;
  samples: number;
  /** Whether outputs come with their steps. */
  steps: boolean;
  logprobs: boolean;
}

export class Decoder {
  readonly #options: DecoderOptions;

  constructor(options: DecoderOptions) {
    this.#options = options;
  }

  /** All outputs of a line; rejects when the run was aborted or its session has failed. */
  async decode(line: Line): Promise<Outcome> {
    return this.#settled(line, () =>
      this.#options.steps ? this.#bySteps(line) : this.#atOnce(line),
    );
  }

  /** Like decode(), and tells of each step of each sample as it comes. */
  async follow(line: Line, onStep: (step: Step, done: boolean) => Promise<void>): Promise<Outcome> {
    return this.#settled(line, () => this.#bySteps(line, onStep));
  }

  async #settled(line: Line, work: () => Promise<Output[]>): Promise<Outcome> {
    if (line.kind === 'line' && line.text.trim() === '') return { line, empty: true };
    const { statistics, signal } = this.#options;
    try {
      const outputs = await statistics.timed(work);
      for (const { result } of outputs) statistics.add(result);
      return { line, outputs };
    } catch (error) {
      if (signal.aborted || !isRecordFailure(error)) throw error;
      return { line, error };
    }
  }

  async #atOnce(line: Line): Promise<Output[]> {
    const { session, samples } = this.#options;
    const options = { ...this.#requestOptions(this.#seed(line)), numSamples: samples };
    const results = await session.generate(this.#input(line), options);
    return results.map((result) => ({ result, steps: null }));
  }

  /** Streams know no samples: one request for each, with the seeds that generate() would take. */
  async #bySteps(
    line: Line,
    onStep?: (step: Step, done: boolean) => Promise<void>,
  ): Promise<Output[]> {
    const { session, samples } = this.#options;
    const input = this.#input(line);
    const seed = this.#seed(line);
    const outputs: Output[] = [];
    for (let sample = 0; sample < samples; sample++) {
      const steps: Step[] = [];
      const chunks = session.stream(input, this.#requestOptions(deriveSeed(seed, sample)));
      let last: StreamChunk | undefined;
      for await (const chunk of chunks) {
        last = chunk;
        steps.push({ tokens: chunk.tokens, accepted: chunk.accepted });
        await onStep?.(chunk, chunk.done);
      }
      outputs.push({ result: last!.result!, steps });
    }
    return outputs;
  }

  /** A function of the place in the input, so that a run can be repeated whatever its batches. */
  #seed(line: Line): bigint {
    const { seed } = this.#options;
    return seed === undefined ? randomSeed() : deriveSeed(seed, line.number - 1);
  }

  #requestOptions(seed: bigint): GenerateOptions {
    const { signal, logprobs } = this.#options;
    return { seed, signal, logprobs };
  }

  #input({ text, broken }: Line): Input {
    const { tokenizer, prefix } = this.#options;
    if (broken) throw inputError('input', 'UTF-8', text);
    if (text.trim() === '') {
      throw new SpeccascadeError('ERR_INPUT', 'expected a text, received an empty one');
    }
    if (tokenizer !== null) return prefix + text;
    const ids = text.trim().split(/[\s,]+/);
    if (ids.every((id) => /^\d{1,9}$/.test(id))) return Int32Array.from(ids, Number);
    throw new SpeccascadeError(
      'ERR_INPUT',
      `expected token ids (the target has no tokenizer), received ${JSON.stringify(text)}`,
    );
  }
}
