/** Failures of a download, told apart by whether trying again can help. */
import { SpeccascadeError } from '../errors.ts';
import { systemCode } from './messages.ts';

/** A failure that another attempt may cure: a cut connection, a busy server. */
export class TransientError extends Error {
  /** Whether bytes arrived before the failure. */
  readonly progressed: boolean;

  constructor(message: string, progressed: boolean, cause?: unknown) {
    super(message, { cause });
    this.progressed = progressed;
  }
}

export function downloadError(id: string, problem: string, cause?: unknown): SpeccascadeError {
  return new SpeccascadeError('ERR_DOWNLOAD', `download of ${id}: ${problem}`, { cause });
}

/** Of the first file: there may be no such model because a path was meant. */
export function takenForId(id: string, error: unknown): unknown {
  const failed = error instanceof SpeccascadeError && error.code === 'ERR_DOWNLOAD';
  if (!failed) return error;
  const problem = `there is no folder ${id}, so it was taken for a hub id; ${error.message}`;
  return new SpeccascadeError('ERR_DOWNLOAD', problem, { cause: error.cause });
}

/** ERR_ABORTED where the signal says so. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new SpeccascadeError('ERR_ABORTED', 'the download was aborted', {
      cause: signal.reason,
    });
  }
}

/** Runs an operation on the cache folder; a failure is ERR_IO and names the path. */
export async function onDisk<T>(place: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (cause) {
    const code = systemCode(cause);
    if (code === '' || cause instanceof SpeccascadeError) throw cause;
    throw new SpeccascadeError('ERR_IO', `${place}: the model cache cannot be used (${code})`, {
      cause,
    });
  }
}
