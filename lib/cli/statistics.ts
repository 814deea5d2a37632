/** The line of figures at the end of a run. */
import type { Result } from '../session/result.ts';

/** Adds up results, and the time during which at least one request was under way. */
export class Statistics {
  #outputs = 0;
  #tokens = 0;
  #targetCalls = 0;
  #draftCalls = 0;
  #tested = 0;
  #accepted = 0;
  #busyMs = 0;
  #underWay = 0;
  #since = 0;

  get outputs(): number {
    return this.#outputs;
  }

  /** Wraps a request: waiting for input between two requests is not decoding. */
  async timed<T>(request: () => Promise<T>): Promise<T> {
    if (this.#underWay === 0) this.#since = performance.now();
    this.#underWay += 1;
    try {
      return await request();
    } finally {
      this.#underWay -= 1;
      if (this.#underWay === 0) this.#busyMs += performance.now() - this.#since;
    }
  }

  add({ tokens, stats }: Result): void {
    this.#outputs += 1;
    this.#tokens += tokens.length;
    this.#targetCalls += stats.targetCalls;
    this.#draftCalls += stats.draftCalls.reduce((sum, calls) => sum + calls, 0);
    this.#tested += stats.tested;
    this.#accepted += stats.accepted;
  }

  /** For a line of progress. */
  brief(): string {
    return `${count(this.#outputs, 'output')}, ${this.#rate()} tokens/s`;
  }

  /** Calls are per sequence: a pass that serves a batch counts once for each of its sequences. */
  line(drafting: boolean): string {
    const seconds = (this.#elapsedMs() / 1000).toFixed(2);
    const parts = [
      `${count(this.#outputs, 'output')}, ${count(this.#tokens, 'token')} in ${seconds} s ` +
        `(${this.#rate()} tokens/s)`,
      `${ratio(this.#targetCalls, this.#tokens)} target calls per token`,
    ];
    if (drafting) {
      parts.push(
        `acceptance ${ratio(100 * this.#accepted, this.#tested, 1)}%`,
        `block efficiency ${ratio(this.#tokens, this.#targetCalls)}`,
        count(this.#draftCalls, 'drafter call'),
      );
    }
    return parts.join(' | ');
  }

  #elapsedMs(): number {
    return this.#busyMs + (this.#underWay > 0 ? performance.now() - this.#since : 0);
  }

  #rate(): string {
    return ratio(1000 * this.#tokens, this.#elapsedMs(), 0);
  }
}

function ratio(above: number, below: number, digits = 2): string {
  return (below > 0 ? above / below : 0).toFixed(digits);
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
