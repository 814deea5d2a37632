/** How a command line ends that did not succeed: what is said, and the exit code. */
import { SpeccascadeError } from '../errors.ts';
import { UsageError } from './options.ts';
import { OutputClosed, printable, type Terminal } from './terminal.ts';

/** Why the work was aborted: a signal of the system. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly signal: 'SIGINT' | 'SIGTERM';
  readonly exitCode: number;

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(`interrupted by ${signal}`);
    this.signal = signal;
    this.exitCode = signal === 'SIGINT' ? 130 : 143;
  }
}

/** Says on standard error what went wrong and returns the exit code. */
export function reportFailure(
  error: unknown,
  options: { terminal: Terminal; signal: AbortSignal; command: string },
): number {
  const { terminal, signal, command } = options;
  if (error instanceof OutputClosed) return 0;
  if (signal.aborted && signal.reason instanceof Interrupted) {
    terminal.note(`ERR_ABORTED: ${signal.reason.message}`);
    return signal.reason.exitCode;
  }
  if (error instanceof UsageError) {
    terminal.note(`${command}: ${error.message}\nTry: ${command} --help`);
    return 2;
  }
  if (error instanceof SpeccascadeError) {
    terminal.note(printable(`${error.code}: ${error.message}`)); // of a file's own words, perhaps
    return 1;
  }
  terminal.note(`internal error: ${error instanceof Error ? error.stack : String(error)}`);
  return 1;
}
