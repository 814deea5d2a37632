/** A line of progress on standard error, written over while a terminal shows it. */
import type { Terminal } from './terminal.ts';

/** Milliseconds between two states shown; what takes less in all is never shown. */
const every = 150;

export class Progress {
  readonly #terminal: Terminal;
  readonly #enabled: boolean;
  #shownAt = performance.now();
  #visible = false;

  constructor(terminal: Terminal, quiet = false) {
    this.#terminal = terminal;
    this.#enabled = terminal.errIsTty && !quiet;
  }

  /** Shows a state, unless the last one has only just been shown. */
  show(line: () => string): void {
    const now = performance.now();
    if (!this.#enabled || now - this.#shownAt < every) return;
    this.#shownAt = now;
    this.#visible = true;
    this.#terminal.noteInline(`\r\x1b[K${line()}`);
  }

  /** Takes the line away, for what comes next. */
  clear(): void {
    if (this.#visible) this.#terminal.noteInline('\r\x1b[K');
    this.#visible = false;
  }
}

/** Bytes as people read them. */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** 'label: 12.3 MB of 308 MB, 4%'. */
export function share(label: string, done: number, total: number): string {
  const percent = total > 0 ? `, ${Math.floor((100 * done) / total)}%` : '';
  return `${label}: ${bytes(done)} of ${bytes(total)}${percent}`;
}
