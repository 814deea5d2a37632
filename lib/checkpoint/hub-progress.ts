/** Adds up the bytes of the files of a download for the caller's progress callback. */

export interface DownloadReport {
  phase: 'download';
  /** Bytes on disk so far, those of an earlier interrupted run included. */
  done: number;
  /** Bytes of all files known so far; it can grow until the weights have begun. */
  total: number;
}

/** Bytes between two reports: often enough for a progress bar, cheap at full speed. */
const reportEvery = 2 ** 20;

export class DownloadProgress {
  readonly #report: (report: DownloadReport) => void;
  readonly #files = new Map<string, { done: number; total: number }>();
  #announced = 0;
  #reported = -Infinity;

  constructor(report: (report: DownloadReport) => void) {
    this.#report = report;
  }

  /** Bytes that the shards will take together, as the index says, before each has told its size. */
  announce(bytes: number): void {
    this.#announced = this.#sums().total + bytes;
  }

  /** State of one file; `total` is null where the server does not say. */
  update(file: string, done: number, total: number | null): void {
    this.#files.set(file, { done, total: Math.max(total ?? done, done) });
    const sums = this.#sums();
    if (Math.abs(sums.done - this.#reported) >= reportEvery || done === total) this.#send(sums);
  }

  /** The last report: everything is there. */
  finish(): void {
    this.#announced = 0;
    this.#send(this.#sums());
  }

  #sums(): { done: number; total: number } {
    let done = 0;
    let total = 0;
    for (const file of this.#files.values()) {
      done += file.done;
      total += file.total;
    }
    return { done, total: Math.max(total, this.#announced) };
  }

  #send({ done, total }: { done: number; total: number }): void {
    this.#reported = done;
    this.#report({ phase: 'download', done, total });
  }
}
