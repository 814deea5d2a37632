/** Streaming requests against a session: as many as it takes, or as a Poisson process sends them. */
import { setTimeout } from 'node:timers/promises';
import type { DecodeSession } from '../../lib/index.ts';

export interface StreamTimes {
  /** Milliseconds from a request's arrival to its first token. */
  firstToken: number[];
  /** Milliseconds between the chunks of a stream. */
  between: number[];
  /** Streams that ended in the time measured. */
  ended: number;
  seconds: number;
  /** Most streams open at once. */
  mostOpen: number;
}

class Streams {
  readonly times: StreamTimes = { firstToken: [], between: [], ended: 0, seconds: 0, mostOpen: 0 };
  readonly #session: DecodeSession;
  readonly #texts: string[];
  #next = 0;
  #open = 0;

  constructor(session: DecodeSession, texts: string[]) {
    this.#session = session;
    this.#texts = texts;
  }

  /** `arrival`: when the request was due, so that a late start counts as waiting. */
  async one(arrival: number): Promise<void> {
    const text = this.#texts[this.#next++ % this.#texts.length]!;
    this.#open += 1;
    this.times.mostOpen = Math.max(this.times.mostOpen, this.#open);
    let last: number | undefined;
    for await (const chunk of this.#session.stream(text)) {
      if (chunk.tokens.length === 0) continue;
      const now = performance.now();
      if (last === undefined) this.times.firstToken.push(now - arrival);
      else this.times.between.push(now - last);
      last = now;
    }
    this.#open -= 1;
    this.times.ended += 1;
  }
}

/** Keeps `clients` streams open for that long: what the session can do. */
export async function saturate(
  session: DecodeSession,
  texts: string[],
  clients: number,
  seconds: number,
): Promise<StreamTimes> {
  const streams = new Streams(session, texts);
  const begin = performance.now();
  const until = begin + 1000 * seconds;
  const client = async (): Promise<void> => {
    while (performance.now() < until) await streams.one(performance.now());
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { ...streams.times, seconds: (performance.now() - begin) / 1000 };
}

/** Streams that arrive independently, `rate` per second on average, for that long. */
export async function poisson(
  session: DecodeSession,
  texts: string[],
  rate: number,
  seconds: number,
  random: () => number,
): Promise<StreamTimes> {
  const streams = new Streams(session, texts);
  const begin = performance.now();
  const running: Promise<void>[] = [];
  let arrival = begin;
  for (;;) {
    arrival += (-1000 * Math.log(1 - random())) / rate;
    if (arrival > begin + 1000 * seconds) break;
    while (performance.now() < arrival) await setTimeout(arrival - performance.now());
    running.push(streams.one(arrival));
  }
  await Promise.all(running);
  return { ...streams.times, seconds: (performance.now() - begin) / 1000 };
}
