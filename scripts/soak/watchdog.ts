/** Tells requests that never settle: a soak without it would wait for them for ever. */
import { clearInterval, setInterval } from 'node:timers';

interface Watched {
  what: string;
  state: () => string;
  since: number;
  bark: (error: Error) => void;
}

export class Watchdog {
  readonly #limitMs: number;
  readonly #watched = new Set<Watched>();
  readonly #timer: NodeJS.Timeout;

  /** `limitSeconds`: how long anything may take to settle. */
  constructor(limitSeconds: number) {
    this.#limitMs = 1000 * limitSeconds;
    this.#timer = setInterval(() => this.#look(), Math.min(1000, this.#limitMs / 4));
  }

  /**
   * `work`; or an error that says what has not settled in time, and in which state it is by then, among
   * all that has not.
   */
  async watch<T>(work: Promise<T>, what: string, state: () => string): Promise<T> {
    let own: Watched | undefined;
    const overdue = new Promise<never>((_, bark) => {
      own = { what, state, since: performance.now(), bark };
      this.#watched.add(own);
    });
    try {
      return await Promise.race([work, overdue]);
    } finally {
      this.#watched.delete(own!);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    const overdue = [...this.#watched].filter(({ since }) => now - since > this.#limitMs);
    if (overdue.length === 0) return;
    const lines = overdue.map(
      ({ what, state, since }) =>
        `  ${what}, for ${((now - since) / 1000).toFixed(1)} s: ${state()}`,
    );
    const message = `not settled within ${this.#limitMs / 1000} s:\n${lines.join('\n')}`;
    for (const { bark } of overdue) bark(new Error(message));
  }
}
