/** Keeps a scene in service while its sessions and models come and go. */
import { deepStrictEqual } from 'node:assert';
import type { DecodeSession } from '../../lib/index.ts';
import type { Scene, Stage } from './scenes.ts';
import type { Watchdog } from './watchdog.ts';

/** A session with the outputs it owes and the requests that use it. */
export class Lease {
  readonly session: DecodeSession;
  /** Outputs that its requests brought; its statistics must count as many in the end. */
  submitted = 0;
  /** True once it is being closed, be it under its requests. */
  closing = false;
  #users = 0;
  #wake: (() => void) | undefined;

  constructor(session: DecodeSession) {
    this.session = session;
  }

  get users(): number {
    return this.#users;
  }

  async use(body: () => Promise<void>): Promise<void> {
    this.#users += 1;
    try {
      await body();
    } finally {
      this.#users -= 1;
      if (this.#users === 0) this.#wake?.();
    }
  }

  /** Resolves when nobody uses it any more. One waits at most: who retires it. */
  async unused(): Promise<void> {
    if (this.#users > 0) await new Promise<void>((resolve) => (this.#wake = resolve));
  }
}

export interface Churn {
  sessions: number;
  /** Of them, closed while requests ran. */
  abrupt: number;
  loads: number;
}

export class Host {
  readonly scene: Scene;
  readonly #random: () => number;
  readonly #churn: Churn;
  readonly #watchdog: Watchdog;
  #stage: Stage | undefined;
  #lease: Promise<Lease> | undefined;
  #left = 0;
  #ends: Promise<void>[] = [];

  constructor(scene: Scene, random: () => number, churn: Churn, watchdog: Watchdog) {
    this.scene = scene;
    this.#random = random;
    this.#churn = churn;
    this.#watchdog = watchdog;
  }

  /** Runs `body` on the session of now; every so often it is the last one of that session. */
  async use(body: (lease: Lease) => Promise<void>): Promise<void> {
    if (this.#left === 0) this.#replace();
    this.#left -= 1;
    const lease = await this.#lease!;
    await lease.use(() => body(lease));
  }

  /** Closes what is open. */
  async end(): Promise<void> {
    if (this.#lease) this.#ends.push(this.#retire(this.#lease, this.#stage, false));
    await this.#watched(Promise.all(this.#ends), 'end');
  }

  #watched<T>(work: Promise<T>, what: string): Promise<T> {
    const state = (): string => `${this.#ends.length} sessions are ending`;
    return this.#watchdog.watch(work, `${what} of scene "${this.scene.name}"`, state);
  }

  #replace(): void {
    const reload = this.#stage === undefined || this.#random() < 0.3;
    const before = this.#lease;
    const stageBefore = reload ? this.#stage : undefined;
    const abrupt = this.#random() < 0.5;
    this.#left = 50 + Math.floor(this.#random() * 200);
    // Newcomers wait for the new session; the old one is closed beside it.
    this.#lease = this.#watched(this.#open(reload, before), 'new session');
    if (before) {
      const end = this.#lease.then(() => this.#retire(before, stageBefore, abrupt));
      this.#ends.push(end);
      end.then(
        () => void this.#ends.splice(this.#ends.indexOf(end), 1),
        () => {}, // told by end()
      );
    }
  }

  async #open(reload: boolean, before: Promise<Lease> | undefined): Promise<Lease> {
    await before;
    if (reload) {
      this.#stage = await this.scene.load();
      this.#churn.loads += 1;
    }
    const maxBatch = 1 + Math.floor(this.#random() * 8);
    const session = await this.#stage!.open(maxBatch);
    this.#churn.sessions += 1;
    return new Lease(session);
  }

  async #retire(leased: Promise<Lease>, stage: Stage | undefined, abrupt: boolean): Promise<void> {
    const lease = await leased;
    // Models may go first: sessions keep what they use.
    await stage?.dispose();
    if (!abrupt) await lease.unused();
    if (lease.users > 0) this.#churn.abrupt += 1;
    lease.closing = true;
    await lease.session.close();
    const { outputs, active, queued } = lease.session.stats();
    deepStrictEqual(
      { outputs, active, queued },
      { outputs: lease.submitted, active: 0, queued: 0 },
    );
  }
}
