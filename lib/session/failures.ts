/** What the engine says of a request that failed, in the words of its caller. */
import { SpeccascadeError } from '../errors.ts';
import type { RequestSettings } from './options.ts';

/** What the engine does not know of a request. */
export interface Teller {
  /** Which input of the call it is, to stand after the message; '' where there is one alone. */
  place: string;
  /** What the caller knows the model as that the engine calls its target, and a score the model. */
  model: 'target' | 'drafter';
  settings: Pick<RequestSettings, 'minNewTokens' | 'suppressTokens'>;
}

/** Its own number of the request, which no caller has seen. */
const engineNumber = / \(request \d+\)$/;

/** A new error where there is another thing to say: a stack begins with the message. */
export function toldTo(caller: Teller, error: SpeccascadeError): SpeccascadeError {
  let message = error.message
    .replace(engineNumber, caller.place)
    .replace(/^the (target|model) gave/, `the ${caller.model} gave`);
  if (error.code === 'ERR_INPUT') message = message.replace(/^every token is/, suppressed(caller));
  if (message === error.message) return error;
  const { code, cause } = error;
  return new SpeccascadeError(code, message, cause === undefined ? {} : { cause });
}

function suppressed({ settings }: Teller): string {
  const options = [
    ...(settings.suppressTokens.length > 0 ? ['suppressTokens'] : []),
    ...(settings.minNewTokens > 0 ? ['minNewTokens'] : []),
  ];
  return `${options.join(' and ')}: every token is`;
}
