// Requests under way: how many there may be, when they end, and what ends them early.
import { clearTimeout, setTimeout } from 'node:timers';

/** Why the service gives no result; `status` and `code` go into the answer. */
export class Refusal extends Error {
  constructor(status, code, message, retryAfter) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

const stopping = () => new Refusal(503, 'STOPPING', 'the service is stopping', 1);

export class Requests {
  #running = new Set();
  #outputs = 0;
  #stopping = false;
  #idle = [];

  /** `limit`: outputs that may run or wait at once; `retryAfter()`: seconds that one may take. */
  constructor(limit, retryAfter) {
    this.limit = limit;
    this.retryAfter = retryAfter;
  }

  get stopping() {
    return this.#stopping;
  }

  /**
   * Runs `work(signal)` for a call of that many outputs. The signal fires at the deadline, when the
   * client is gone, or when the service has waited long enough for running requests. Throws a
   * Refusal where there is no room.
   */
  async run(outputs, deadlineMs, connection, work) {
    if (this.#stopping) throw stopping();
    if (this.#outputs + outputs > this.limit) {
      const message = `${this.#outputs} outputs run or wait, ${this.limit} may`;
      throw new Refusal(503, 'ERR_QUEUE_FULL', message, this.retryAfter());
    }
    const controller = new AbortController();
    const late = new Refusal(504, 'DEADLINE', `the deadline of ${deadlineMs} ms has passed`);
    const timer = setTimeout(() => controller.abort(late), deadlineMs);
    const gone = () => controller.abort(new Refusal(499, 'CLIENT_GONE', 'the client is gone'));
    connection.once('close', gone);
    this.#running.add(controller);
    this.#outputs += outputs;
    try {
      return await work(controller.signal);
    } finally {
      clearTimeout(timer);
      connection.off('close', gone);
      this.#running.delete(controller);
      this.#outputs -= outputs;
      if (this.#running.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** Takes no more requests; ends those that still run after `graceMs`. Resolves when none does. */
  async stop(graceMs) {
    this.#stopping = true;
    const abort = () => this.#running.forEach((controller) => controller.abort(stopping()));
    const timer = setTimeout(abort, graceMs);
    if (this.#running.size > 0) await new Promise((resolve) => this.#idle.push(resolve));
    clearTimeout(timer);
  }
}
