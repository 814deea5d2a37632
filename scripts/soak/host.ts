/** Keeps a scene in service while its sessions and models come and go. */
import { deepStrictEqual } from 'node:assert';
import type { DecodeSession } from '../../lib/index.ts';
import type { Scene, Stage } from './scenes.ts';

/** A session with the outputs it owes. */
export interface Lease {
  session: DecodeSession;
  /** Outputs that its requests brought; its statistics must count as many in the end. */
  submitted: number;
  /** True once it is being closed, be it under its requests. */
  closing: boolean;
  users: number;
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
  #stage: Stage | undefined;
  #lease: Promise<Lease> | undefined;
  #left = 0;
  #ends: Promise<void>[] = [];

  constructor(scene: Scene, random: () => number, churn: Churn) {
    this.scene = scene;
    this.#random = random;
    this.#churn = churn;
  }

  /** Runs `body` on the session of now; every so often it is the last one of that session. */
  async use(body: (lease: Lease) => Promise<void>): Promise<void> {
    if (this.#left === 0) this.#replace();
    this.#left -= 1;
    const lease = await this.#lease!;
    lease.users += 1;
    try {
      await body(lease);
    } finally {
      lease.users -= 1;
    }
  }

  /** Closes what is open. */
  async end(): Promise<void> {
    if (this.#lease) this.#ends.push(this.#retire(this.#lease, this.#stage, false));
    await Promise.all(this.#ends);
  }

  #replace(): void {
    const reload = this.#stage === undefined || this.#random() < 0.3;
    const before = this.#lease;
    const stageBefore = reload ? this.#stage : undefined;
    const abrupt = this.#random() < 0.5;
    this.#left = 50 + Math.floor(this.#random() * 200);
    // Newcomers wait for the new session; the old one is closed beside it.
    this.#lease = this.#open(reload, before);
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
    return { session, submitted: 0, closing: false, users: 0 };
  }

  async #retire(leased: Promise<Lease>, stage: Stage | undefined, abrupt: boolean): Promise<void> {
    const lease = await leased;
    // Models may go first: sessions keep what they use.
    await stage?.dispose();
    while (!abrupt && lease.users > 0) await new Promise(setImmediate);
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
