/** How far a job is: a bar on a terminal, a line now and then elsewhere. */
import type { BatchProgress } from '../batch/options.ts';
import { Progress } from './progress.ts';
import type { Terminal } from './terminal.ts';

/** Milliseconds between two lines where nothing can be written over. */
const lineEvery = 10_000;
const barWidth = 24;

export class BatchView {
  readonly #terminal: Terminal;
  readonly #quiet: boolean;
  readonly #bar: Progress;
  readonly #now: () => number;
  #begin: { at: number; progress: BatchProgress } | null = null;
  #lineAt = 0;

  /** `now`: milliseconds of a clock. */
  constructor(terminal: Terminal, quiet: boolean, now = (): number => performance.now()) {
    this.#terminal = terminal;
    this.#quiet = quiet;
    this.#bar = new Progress(terminal, quiet);
    this.#now = now;
  }

  show(progress: BatchProgress): void {
    const at = this.#now();
    this.#begin ??= { at, progress };
    this.#bar.show(() => this.#state(progress, true));
    if (this.#quiet || this.#terminal.errIsTty) return;
    if (this.#lineAt === 0) this.#lineAt = at;
    if (at - this.#lineAt < lineEvery) return;
    this.#lineAt = at;
    this.#terminal.note(this.#state(progress, false));
  }

  /** Takes the bar away, for what comes next. */
  clear(): void {
    this.#bar.clear();
  }

  /** Seconds since the job began, loading of models not included, and tokens of this run. */
  done(progress: BatchProgress): { seconds: number; tokens: number } {
    const { at, progress: first } = this.#begin ?? { at: this.#now(), progress };
    return { seconds: (this.#now() - at) / 1000, tokens: progress.tokens - first.tokens };
  }

  #state(progress: BatchProgress, bar: boolean): string {
    const { seconds, tokens } = this.done(progress);
    const rate = seconds > 0 ? tokens / seconds : 0;
    const { tested, accepted, bytes, bytesRead, records, failed } = progress;
    const read = bytes === null ? null : bytes === 0 ? 1 : Math.min(1, bytesRead / bytes);
    const parts = [`${records} records`];
    if (failed > 0) parts.push(`${failed} failed`);
    parts.push(`${rate.toFixed(0)} tokens/s`);
    if (tested > 0) parts.push(`acceptance ${((100 * accepted) / tested).toFixed(0)}%`);
    if (read === null) return parts.join(', ');
    const remaining = this.#remaining(progress, read, seconds);
    if (remaining !== null) parts.push(`${clock(remaining)} left`);
    const share = `${Math.floor(100 * read)}%`;
    return `${bar ? `[${drawn(read)}] ` : ''}${share}, ${parts.join(', ')}`;
  }

  /** From the records per byte so far; null while nothing is known. */
  #remaining({ records }: BatchProgress, read: number, seconds: number): number | null {
    const done = records - (this.#begin?.progress.records ?? 0);
    if (done === 0 || read === 0 || seconds === 0) return null;
    return ((records / read - records) / done) * seconds;
  }
}

function drawn(share: number): string {
  const full = Math.round(share * barWidth);
  return '#'.repeat(full) + '.'.repeat(barWidth - full);
}

/** '42 s', '3:07 min', '2:05 h'. */
export function clock(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [above, below, unit] =
    whole < 3600 ? [whole / 60, whole % 60, 'min'] : [whole / 3600, (whole % 3600) / 60, 'h'];
  return `${Math.floor(above)}:${String(Math.floor(below)).padStart(2, '0')} ${unit}`;
}
