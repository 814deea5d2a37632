import type { Result } from './result.ts';

/** The error codes of the package; every error a caller can see carries one. */
export const errorCodes = [
  /** A file of a model is missing, damaged or of another format. */
  'ERR_CHECKPOINT',
  /** A value of a model's configuration is wrong or not supported. */
  'ERR_CONFIG',
  /** An argument, an option or a record is wrong. */
  'ERR_INPUT',
  /** Drafter and target do not have the same tokens. */
  'ERR_VOCAB_MISMATCH',
  /** What was asked for does not fit the memory. */
  'ERR_OUT_OF_MEMORY',
  /** There is no such device, it cannot do this, or it failed; or the addon is not built. */
  'ERR_DEVICE',
  /** A signal fired, or the session was closed, before the work had ended. */
  'ERR_ABORTED',
  /** The session was closed, the model disposed or the stream ended before the call. */
  'ERR_CLOSED',
  /** A model computed numbers that are not finite. */
  'ERR_NUMERIC',
  /** trySubmit() found no room in the queue. */
  'ERR_QUEUE_FULL',
  /** A file or folder cannot be read or written. */
  'ERR_IO',
  /** A hub did not give a file. */
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
  // Declared only: a field would be an own property of every error, undefined where it says nothing.
  declare index?: number;
  declare partial?: Result;
  declare results?: (Result | undefined)[];
  declare size?: number;
  declare limit?: number;

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

/** @internal ERR_IO of a file or stream, by its system's message; this package's own pass. */
export function ioError(where: string, cause: unknown): SpeccascadeError {
  if (cause instanceof SpeccascadeError) return cause;
  const problem = cause instanceof Error ? cause.message : String(cause);
  return new SpeccascadeError('ERR_IO', `${where}: ${problem}`, { cause });
}
