/** One listener per signal, however many requests of however many sessions share it. */

/** What to cancel when a signal fires. */
class AbortFanout {
  readonly #bySignal = new Map<AbortSignal, { cancels: Set<() => void>; listener: () => void }>();

  /** Calls `cancel` when `signal` fires, unless `until` has settled before. */
  watch(signal: AbortSignal, cancel: () => void, until: Promise<unknown>): void {
    const entry = this.#bySignal.get(signal) ?? this.#listen(signal);
    entry.cancels.add(cancel);
    const forget = (): void => {
      entry.cancels.delete(cancel);
      if (entry.cancels.size > 0 || this.#bySignal.get(signal) !== entry) return;
      signal.removeEventListener('abort', entry.listener);
      this.#bySignal.delete(signal);
    };
    void until.then(forget, forget);
  }

  #listen(signal: AbortSignal): { cancels: Set<() => void>; listener: () => void } {
    const cancels = new Set<() => void>();
    const listener = (): void => cancels.forEach((cancel) => cancel());
    const entry = { cancels, listener };
    signal.addEventListener('abort', listener, { once: true });
    this.#bySignal.set(signal, entry);
    return entry;
  }
}

export const aborts = new AbortFanout();
