/** Types that make others. */

/** T as it may be written by hand: these have defaults and may be left out. */
export type WithDefaults<T, Defaulted extends keyof T> = Omit<T, Defaulted> & {
  readonly [K in Defaulted]?: T[K] | undefined;
};
