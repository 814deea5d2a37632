/** Inputs of a call, checked and made what a runner takes. */
import { checkInteger } from '../validate.ts';
import { inputTokens, type Input } from './inputs.ts';
import type { GenerateOptions, RequestSettings, SessionSettings } from './options.ts';
import type { Prepared } from './runner.ts';
import { deriveSeed, randomSeed } from './seeds.ts';

export interface Preparation {
  /** Outputs per input. */
  samples: number;
  /**
   * An input as a request; `name`: 'input' of a call with one alone. Throws ERR_INPUT with its name;
   * a call that is over checks nothing.
   */
  prepare(name: string, input: Input, index: number): Prepared;
}

/** Ids of an input that nobody looks at. */
const unread = new Int32Array(0);

/** `isOver`: whether the call has been aborted. */
export function preparation(
  session: SessionSettings,
  settings: RequestSettings,
  options: GenerateOptions,
  isOver: () => boolean,
): Preparation {
  const samples = checkInteger('numSamples', options.numSamples ?? 1, 1, 2 ** 16);
  const seed = settings.seed ?? randomSeed();
  return {
    samples,
    prepare(name, input, index) {
      const inputIds = isOver() ? unread : inputTokens(name, input, session);
      const seeds = Array.from({ length: samples }, (_, sample) =>
        deriveSeed(seed, index * samples + sample),
      );
      return { place: name === 'input' ? '' : ` (${name})`, inputIds, seeds };
    },
  };
}
