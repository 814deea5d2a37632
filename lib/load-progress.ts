/**
 * Calls the caller's progress callback for the native reader, which cannot propagate exceptions: a
 * thrown one is kept and rethrown by check().
 */
import { setImmediate } from 'node:timers/promises';

export class ReadProgress {
  readonly #tell: (done: number, total: number) => void;
  readonly #stop: () => void;
  #thrown: { error: unknown } | null = null;

  /** `stop`: ends the reading, after the callback has thrown. */
  constructor(tell: (done: number, total: number) => void, stop: () => void) {
    this.#tell = tell;
    this.#stop = stop;
  }

  /** What the core calls. */
  readonly report = (done: number, total: number): void => {
    if (this.#thrown !== null) return;
    try {
      this.#tell(done, total);
    } catch (error) {
      this.#thrown = { error };
      this.#stop();
    }
  };

  /** When the reading has ended: calls on their way arrive before the event loop's next turn. */
  settled(): Promise<void> {
    return setImmediate();
  }

  /** Throws what the callback has thrown. */
  check(): void {
    if (this.#thrown !== null) throw this.#thrown.error;
  }
}
