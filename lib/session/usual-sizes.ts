/** Sizes of sessions, and of the commands that open one, where nothing is said. */
export const usualSizes = { maxBatch: 16, maxInputTokens: 512, maxNewTokens: 128 } as const;

/** Most tokens that a session can be asked to plan for, in an input, an output or a prefix. */
export const maxTokens = 2 ** 20;
/** Most sequences of a batch. */
export const maxSlots = 4096;
