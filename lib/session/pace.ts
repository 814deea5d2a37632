/** Long work on the JavaScript thread, in portions: timers and other requests get their turn. */
import { setImmediate } from 'node:timers/promises';

/** Milliseconds of work between two turns of the event loop. */
const portionMs = 10;

/** Tells a loop when it has worked for long enough. */
export class Pace {
  #since = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#since >= portionMs;
  }

  /** Resolves in the event loop's next turn, when the next portion begins. */
  async rest(): Promise<void> {
    await setImmediate();
    this.#since = performance.now();
  }
}

/** Tasks that run soon, in the order in which they came. They must not throw. */
export class Backlog {
  #tasks: (() => void)[] = [];
  #working: Promise<void> | undefined;

  add(task: () => void): void {
    this.#tasks.push(task);
    this.#working ??= this.#work();
  }

  /** Resolves when none is left. */
  async idle(): Promise<void> {
    while (this.#working !== undefined) await this.#working;
  }

  async #work(): Promise<void> {
    await Promise.resolve(); // whoever adds many adds them all first
    const pace = new Pace();
    // Those that come meanwhile are seen as well.
    for (const task of this.#tasks) {
      if (pace.isOver) await pace.rest();
      task();
    }
    this.#tasks = [];
    this.#working = undefined;
  }
}
