/** Sizes of sessions, and of the commands that open one, where nothing is said. */
export const usualSizes = { maxBatch: 16, maxNewTokens: 128 } as const;
