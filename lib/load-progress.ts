/**
 * Calls the caller's progress callback for the native reader, which cannot propagate exceptions: a
 * thrown one is kept and rethrown by check().
 */
import { setImmediate } from 'node:timers/promises';

type Tell = (phase: 'read' | 'upload', done: number, total: number) => void;

export class ReadProgress {
  readonly #tell: Tell;
  readonly #stop: () => void;
  #thrown: { error: unknown } | null = null;

  /** `stop`: ends the reading, after the callback has thrown. */
  constructor(tell: Tell, stop: () => void) {
    this.#tell = tell;
    this.#stop = stop;
  }

  /** What the core calls. */
  readonly report: Tell = (phase, done, total) => {
    if (this.#thrown !== null) return;
    try {
      this.#tell(phase, done, total);
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
