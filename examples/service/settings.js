// What the service is told by its environment; every value is checked before anything is loaded.
import path from 'node:path';

const models = path.resolve(import.meta.dirname, '..', '..', 'models');

/** name: [default, smallest, largest] */
const numbers = {
  PORT: [8080, 0, 65535],
  MAX_BATCH: [16, 1, 4096],
  MAX_QUEUE: [64, 1, 2 ** 20],
  MAX_INPUT_TOKENS: [256, 1, 2 ** 20],
  MAX_NEW_TOKENS: [128, 1, 2 ** 20],
  MAX_INPUTS: [32, 1, 4096], // of one call
  MAX_BODY_BYTES: [2 ** 18, 256, 2 ** 30],
  DEADLINE_MS: [30_000, 1, 2 ** 31 - 1], // the longest that a request may ask for
  GRACE_MS: [10_000, 0, 2 ** 31 - 1], // for running requests after SIGTERM
};

function integer(env, name) {
  const [byDefault, low, high] = numbers[name];
  const text = env[name] ?? String(byDefault);
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(value >= low && value <= high)) {
    throw new Error(`${name} must be an integer from ${low} to ${high}, received "${text}"`);
  }
  return value;
}

export function readSettings(env) {
  const settings = {
    model: env.MODEL ?? path.join(models, 'large'),
    draftModel: env.DRAFT_MODEL ?? path.join(models, 'base'),
    host: env.HOST ?? '127.0.0.1',
    port: integer(env, 'PORT'),
    maxBatch: integer(env, 'MAX_BATCH'),
    maxQueue: integer(env, 'MAX_QUEUE'),
    maxInputTokens: integer(env, 'MAX_INPUT_TOKENS'),
    maxNewTokens: integer(env, 'MAX_NEW_TOKENS'),
    maxInputs: integer(env, 'MAX_INPUTS'),
    maxBodyBytes: integer(env, 'MAX_BODY_BYTES'),
    deadlineMs: integer(env, 'DEADLINE_MS'),
    graceMs: integer(env, 'GRACE_MS'),
  };
  const { maxBatch, maxQueue, maxInputs } = settings;
  // A list beyond it would be refused however often it comes.
  settings.maxInputs = Math.min(maxInputs, maxBatch + maxQueue);
  return settings;
}
