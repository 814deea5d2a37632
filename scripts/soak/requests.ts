/** One request of the soak: drawn, sent, and judged by its outcome. */
import { deepStrictEqual, ok, rejects } from 'node:assert';
import { setTimeout } from 'node:timers/promises';
import { SpeccascadeError, type GenerateOptions, type Result } from '../../lib/index.ts';
import type { Lease } from './host.ts';
import type { Scene, Template } from './scenes.ts';
import type { Watchdog } from './watchdog.ts';

export const kinds = ['single', 'list', 'samples', 'stream', 'abort', 'leave', 'bad'] as const;
type Kind = (typeof kinds)[number];

/** Requests by how they ended. */
export type Outcomes = Record<Kind | 'closed', number>;

const outputsOf: Record<Kind, number> = {
  ...{ single: 1, list: 3, samples: 2, stream: 1, abort: 1, leave: 1, bad: 0 },
};

function draw(random: () => number): Kind {
  const share = random();
  if (share < 0.4) return 'single';
  if (share < 0.5) return 'list';
  if (share < 0.55) return 'samples';
  if (share < 0.75) return 'stream';
  if (share < 0.85) return 'abort';
  return share < 0.92 ? 'leave' : 'bad';
}

function isCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof SpeccascadeError && codes.includes(error.code);
}

function tokensOf(results: Result[]): number[][] {
  return results.map(({ tokens }) => tokens);
}

function checkPrefix(tokens: number[], whole: number[]): void {
  deepStrictEqual(tokens, whole.slice(0, tokens.length));
}

/** What requests of one kind do; each throws where an outcome is not what it must be. */
class Sender {
  readonly #lease: Lease;
  readonly #scene: Scene;
  readonly #random: () => number;

  constructor(lease: Lease, scene: Scene, random: () => number) {
    this.#lease = lease;
    this.#scene = scene;
    this.#random = random;
  }

  async single(): Promise<void> {
    const { input, options, tokens } = this.#template();
    deepStrictEqual((await this.#lease.session.generate(input, options)).tokens, tokens);
  }

  /** Three inputs of one call. */
  async list(): Promise<void> {
    const { list, options, listTokens } = this.#template();
    const given = { ...options, onError: 'throw' } as const;
    const results = await this.#lease.session.generate(list, given);
    deepStrictEqual(tokensOf(results), listTokens);
  }

  async samples(): Promise<void> {
    const { input, options, sampleTokens } = this.#template();
    const both = await this.#lease.session.generate(input, { ...options, numSamples: 2 });
    deepStrictEqual(tokensOf(both), sampleTokens);
  }

  async stream(): Promise<void> {
    const { input, options, tokens } = this.#template();
    const all: number[] = [];
    let result: Result | undefined;
    for await (const chunk of this.#lease.session.stream(input, options)) {
      ok(result === undefined, 'a chunk after the last');
      all.push(...chunk.tokens);
      if (chunk.done) result = chunk.result;
    }
    deepStrictEqual([all, result!.tokens], [tokens, tokens]);
  }

  /** Aborted at a random moment: either it had ended before, or what there is is right so far. */
  async abort(): Promise<void> {
    const { input, options, tokens } = this.#template();
    const controller = new AbortController();
    const aborted = setTimeout(Math.floor(this.#random() * 12)).then(() =>
      controller.abort('soak'),
    );
    try {
      const given = { ...options, signal: controller.signal };
      deepStrictEqual((await this.#lease.session.generate(input, given)).tokens, tokens);
    } catch (error) {
      if (!isCode(error, 'ERR_ABORTED')) throw error;
      checkPrefix(((error as SpeccascadeError).partial as Result).tokens, tokens);
      if (!controller.signal.aborted) throw error;
    } finally {
      await aborted;
    }
  }

  /** A reader that leaves a stream. */
  async leave(): Promise<void> {
    const { input, options, tokens } = this.#template();
    const all: number[] = [];
    let chunks = 1 + Math.floor(this.#random() * 4);
    for await (const chunk of this.#lease.session.stream(input, options)) {
      all.push(...chunk.tokens);
      if (--chunks === 0) break;
    }
    checkPrefix(all, tokens);
  }

  /** Refused before any work. */
  async bad(): Promise<void> {
    const { vocabSize } = this.#scene;
    const bad: [number[], GenerateOptions][] = [
      [[], {}],
      [[vocabSize], {}],
      [[5, -1], {}],
      [Array<number>(65).fill(5), {}],
      [[5], { temperature: -1 }],
      [[5], { maxNewTokens: 41 }],
      [[5], { beams: 4 } as GenerateOptions],
    ];
    const [input, options] = bad[Math.floor(this.#random() * bad.length)]!;
    await rejects(this.#lease.session.generate([input], options), (error) =>
      isCode(error, 'ERR_INPUT', 'ERR_CLOSED'),
    );
  }

  #template(): Template {
    const { templates } = this.#scene;
    return templates[Math.floor(this.#random() * templates.length)]!;
  }
}

/** Sends one request and counts it, unless its outcome is wrong or it never settles: then throws. */
export async function sendOne(
  lease: Lease,
  scene: Scene,
  random: () => number,
  outcomes: Outcomes,
  watchdog: Watchdog,
): Promise<void> {
  const kind = draw(random);
  lease.submitted += outputsOf[kind];
  const state = (): string => {
    const { queued, active, slots } = lease.session.stats();
    const closing = lease.closing ? 'being closed' : 'open';
    return `session ${closing}, ${queued} queued, ${active} of ${slots} slots active`;
  };
  try {
    const sent = new Sender(lease, scene, random)[kind]();
    await watchdog.watch(sent, `${kind} of scene "${scene.name}"`, state);
    outcomes[kind] += 1;
  } catch (error) {
    // A session that is closed under its requests may end them, and nothing else may.
    if (!lease.closing || !isCode(error, 'ERR_ABORTED', 'ERR_CLOSED')) throw error;
    // One that was closed before the call never had it.
    if (isCode(error, 'ERR_CLOSED')) lease.submitted -= outputsOf[kind];
    outcomes.closed += 1;
  }
}
