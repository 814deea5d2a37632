/** What the engine says of a request that failed, in the words of its caller. */
import { SpeccascadeError } from '../errors.ts';

/** What the engine does not know of a request. */
export interface Teller {
  /** Which input of the call it is, to stand after the message; '' where there is one alone. */
  place: string;
  /** What the caller knows the model as that the engine calls its target. */
  model: 'target' | 'drafter';
}

/** A new error where there is another thing to say: a stack begins with the message. */
export function toldTo({ place, model }: Teller, error: SpeccascadeError): SpeccascadeError {
  // Other failures are the session's, and not one input's.
  if (error.code !== 'ERR_NUMERIC' && error.code !== 'ERR_INPUT') return error;
  const message = error.message.replace(/^the target /, `the ${model} `) + place;
  if (message === error.message) return error;
  return new SpeccascadeError(error.code, message);
}

/** Of a pass without the engine, whose error numbers what it was given. */
export function notFinite(model: Teller['model'], place: string): SpeccascadeError {
  return new SpeccascadeError(
    'ERR_NUMERIC',
    `the ${model} gave logits that are not finite${place}`,
  );
}
