// Which status an error becomes, and how it is told.
import { SpeccascadeError } from './speccascade.js';
import { Refusal } from './requests.js';

const statuses = { ERR_INPUT: 400, ERR_NUMERIC: 500, ERR_QUEUE_FULL: 503, ERR_CLOSED: 503 };

/** { status, retryAfter, body }; `partial` text of an aborted request goes along. */
export function describe(error) {
  if (error instanceof Refusal) {
    const { status, code, message, retryAfter } = error;
    return { status, retryAfter, body: { error: { code, message } } };
  }
  if (error instanceof SpeccascadeError) {
    if (error.code === 'ERR_ABORTED' && error.cause instanceof Refusal) {
      const described = describe(error.cause);
      if (error.partial?.text) described.body.error.partial = error.partial.text;
      return described;
    }
    const { code, message, index } = error;
    return { status: statuses[code] ?? 500, body: { error: { code, message, index } } };
  }
  // Of the framework: a body that is not JSON, too large, or not of the schema.
  if (error.statusCode >= 400 && error.statusCode < 500) {
    const { statusCode: status, message } = error;
    return { status, body: { error: { code: 'ERR_INPUT', message } } };
  }
  return { status: 500, body: { error: { code: 'INTERNAL', message: 'internal error' } } };
}
