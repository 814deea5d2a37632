/**
 * The bounded queue of a session: requests beyond it wait here, in order, and go to the engine as
 * soon as it has room.
 */
import { SpeccascadeError } from '../errors.ts';

/** `size` requests wait; `what` they do. */
export function queueFull(size: number, limit: number, what: string): SpeccascadeError {
  const message = `the queue is full: ${size} requests ${what}, and maxQueue is ${limit}`;
  return new SpeccascadeError('ERR_QUEUE_FULL', message, { size, limit });
}

/** What the engine has taken and not ended. */
interface Load {
  /** Requests of which no output has begun. */
  readonly queued: number;
  /** Outputs that have begun. */
  readonly running: number;
}

/** A request on its way to the engine. */
export interface Entrant {
  /** Hands it over; must not throw. */
  enter(): void;
}

export class Admission {
  readonly #load: Load;
  readonly #slots: number;
  readonly #limit: number;
  /** In order; a set, so that a cancelled one leaves without a search. */
  readonly #waiting = new Set<Entrant>();

  constructor(load: Load, slots: number, limit: number) {
    this.#load = load;
    this.#slots = slots;
    this.#limit = limit;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Throws ERR_QUEUE_FULL with `size` and `limit` unless a request would be taken at once. */
  checkRoom(): void {
    if (this.#hasRoom()) return;
    const size = this.#load.queued + this.#waiting.size;
    throw queueFull(
      size,
      this.#limit,
      `have not begun; free slots take ${this.#freeSlots()} of them`,
    );
  }

  /** Lets a request in, or keeps it until there is room. */
  add(entrant: Entrant): void {
    if (this.#hasRoom()) entrant.enter();
    else this.#waiting.add(entrant);
  }

  /** Lets in whoever has room now. */
  drain(): void {
    for (const entrant of this.#waiting) {
      if (!this.#hasRoom()) return;
      this.#waiting.delete(entrant);
      entrant.enter();
    }
  }

  /** True if it was still waiting. */
  leave(entrant: Entrant): boolean {
    return this.#waiting.delete(entrant);
  }

  /** Those who wait, who do so no longer. */
  clear(): Entrant[] {
    const all = [...this.#waiting];
    this.#waiting.clear();
    return all;
  }

  /** Requests that free slots take do not wait. */
  #hasRoom(): boolean {
    return this.#load.queued < this.#limit + this.#freeSlots();
  }

  #freeSlots(): number {
    return this.#slots - this.#load.running;
  }
}
