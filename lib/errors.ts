import type { Result } from './result.ts';

/** The error codes of the package; every error a caller can see carries one. */
export const errorCodes = [
  'ERR_CHECKPOINT',
  'ERR_CONFIG',
  'ERR_INPUT',
  'ERR_VOCAB_MISMATCH',
  'ERR_OUT_OF_MEMORY',
  'ERR_DEVICE',
  'ERR_ABORTED',
  'ERR_CLOSED',
  'ERR_NUMERIC',
  'ERR_QUEUE_FULL',
  'ERR_IO',
  'ERR_DOWNLOAD',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** Facts that an error carries besides its message. */
export interface ErrorDetails {
  /** The error or abort reason that led to this one. */
  cause?: unknown;
  /** Position of the failing request in an array call. */
  index?: number;
  /** ERR_ABORTED of a generation: the Result so far. */
  partial?: Result;
  /** Array calls: results so far, undefined where a request did not finish. */
  results?: (Result | undefined)[];
  /** ERR_QUEUE_FULL: requests that have not begun, those included that free slots take. */
  size?: number;
  /** ERR_QUEUE_FULL: how many may wait beyond those that free slots take (`maxQueue`). */
  limit?: number;
}

/**
 * The one error class of the package. `code` says what kind of failure it is
 * (see `errorCodes`), `message` names the offending value.
 */
export class SpeccascadeError extends Error {
  override readonly name = 'SpeccascadeError';
  readonly code: ErrorCode;
  index?: number;
  partial?: Result;
  results?: (Result | undefined)[];
  size?: number;
  limit?: number;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined);
    this.code = code;
    if (details.index !== undefined) this.index = details.index;
    if (details.partial !== undefined) this.partial = details.partial;
    if (details.results !== undefined) this.results = details.results;
    if (details.size !== undefined) this.size = details.size;
    if (details.limit !== undefined) this.limit = details.limit;
  }
}
