/**
 * A call with a list of inputs: all are checked, then all are started, in portions that leave the
 * event loop free however long the list is.
 */
import { SpeccascadeError } from '../errors.ts';
import { isDetached } from '../validate.ts';
import type { Input } from './inputs.ts';
import type { GenerateOptions, RequestSettings } from './options.ts';
import { Pace } from './pace.ts';
import type { Preparation } from './prepare.ts';
import type { Result } from './result.ts';
import type { Begun, CallOptions, Prepared, Runner } from './runner.ts';

/** Outputs that are started together, or those of one input. */
const portion = 64;

interface ListCall {
  runner: Runner;
  preparation: Preparation;
  settings: RequestSettings;
  options: GenerateOptions & CallOptions;
}

type Outcome = Result | SpeccascadeError;

/** Results in the order of the inputs; see DecodeSession.generate(). */
export async function generateList(inputs: readonly Input[], call: ListCall): Promise<Outcome[]> {
  const pace = new Pace();
  const prepared: (Prepared | SpeccascadeError)[] = [];
  // Copied first, because the caller may change list and ids between portions. Holes become undefined.
  for (const [index, input] of Array.from(inputs, copied).entries()) {
    if (pace.isOver) await pace.rest();
    prepared.push(prepareOne(input, index, call, inputs.length));
  }
  const sound = prepared.filter(
    (request): request is Prepared => !(request instanceof SpeccascadeError),
  );
  const begun: Begun[] = [];
  const { samples } = call.preparation;
  const together = Math.max(1, Math.floor(portion / samples));
  for (let at = 0; at < sound.length; at += together) {
    if (pace.isOver) await pace.rest();
    const { runner, settings, options } = call;
    begun.push(runner.begin(sound.slice(at, at + together), settings, options));
  }
  const results = begun.flatMap((part) => part.results);
  if (call.options.onError === 'return') return inPlaces(prepared, results, samples);
  return allOrNothing(results, samples, () => begun.forEach((part) => part.cancel()));
}

function copied(input: Input): Input {
  if (input instanceof Int32Array) return isDetached(input) ? input : input.slice();
  return Array.isArray(input) ? input.slice() : input;
}

/** A bad input throws, or stands in its place. */
function prepareOne(
  input: Input,
  index: number,
  { preparation, options }: ListCall,
  count: number,
): Prepared | SpeccascadeError {
  try {
    return preparation.prepare(`inputs[${index}]`, input, index);
  } catch (error) {
    if (!(error instanceof SpeccascadeError)) throw error;
    error.index = index;
    if (options.onError === 'return') return error;
    error.results = Array.from({ length: count * preparation.samples }, () => undefined);
    throw error;
  }
}

/** All results, and every error in the places of its input's. */
async function inPlaces(
  prepared: readonly (Prepared | SpeccascadeError)[],
  results: readonly Promise<Result>[],
  samples: number,
): Promise<Outcome[]> {
  const settled = await Promise.allSettled(results);
  let next = 0;
  return prepared.flatMap((request, index) =>
    Array.from({ length: samples }, (): Outcome => {
      if (request instanceof SpeccascadeError) return request;
      const outcome = settled[next++]!;
      if (outcome.status === 'fulfilled') return outcome.value;
      const error = outcome.reason as SpeccascadeError;
      error.index = index;
      return error;
    }),
  );
}

/** All results; or, at the first failure, cancels the rest and tells what there is so far. */
export async function allOrNothing(
  results: readonly Promise<Result>[],
  samples: number,
  cancel: () => void,
): Promise<Result[]> {
  try {
    return await Promise.all(results);
  } catch (reason) {
    const error = reason as SpeccascadeError;
    cancel();
    const settled = await Promise.allSettled(results);
    const failed = settled.findIndex(
      (outcome) => outcome.status === 'rejected' && outcome.reason === error,
    );
    error.index = Math.floor(failed / samples);
    error.results = settled.map((outcome) =>
      outcome.status === 'fulfilled' ? outcome.value : undefined,
    );
    throw error;
  }
}
