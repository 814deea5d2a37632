/** The options of `speccascade generate`. */
import { maxSlots, maxTokens, usualSizes } from '../session/usual-sizes.ts';
import { methodOptions } from './method-options.ts';
import { modelOptions } from './models.ts';
import { lengthOption } from './length-option.ts';
import { flag, integer, number, seed, text, type Values } from './options.ts';

const inputOptions = {
  input: text({ value: 'FILE', help: 'read texts from FILE, one per line; - is standard input' }),
  limit: integer({ value: 'N', help: 'only the first N texts', min: 0, max: 1e12 }),
};

/** What every command that decodes for its output takes. */
export const decodingOptions = {
  temperature: number({
    value: 'T',
    help: '0 takes the most probable token, above that tokens are drawn',
    default: 0,
    min: 0,
    max: 1e6,
  }),
  'top-k': integer({
    value: 'K',
    help: 'draw from the K most probable tokens; 0: from all',
    default: 0,
    min: 0,
    max: 2 ** 30,
  }),
  'top-p': number({
    value: 'P',
    help: 'draw from the most probable tokens that together reach probability P',
    default: 1,
    min: 0,
    max: 1,
    aboveMin: true,
  }),
  ...lengthOption,
  'min-new-tokens': integer({
    value: 'N',
    help: 'shortest output, in tokens',
    default: 0,
    min: 0,
    max: maxTokens,
  }),
  'max-input-tokens': integer({
    value: 'N',
    help: 'longest text, in tokens; a longer one is an error',
    default: usualSizes.maxInputTokens,
    min: 1,
    max: maxTokens,
  }),
  truncate: flag('cut longer texts instead'),
};

const repeatOptions = {
  seed: seed({
    value: 'SEED',
    help: 'makes draws repeatable; each text gets a seed from it and its place in the input',
    shownDefault: 'random',
  }),
  'num-samples': integer({
    value: 'N',
    help: 'outputs per text',
    default: 1,
    min: 1,
    max: 2 ** 16,
  }),
  batch: integer({
    value: 'N',
    help: 'texts decoded together; on a terminal they come one after the other',
    default: usualSizes.maxBatch,
    min: 1,
    max: maxSlots,
  }),
};

const outputOptions = {
  trace: flag('mark accepted drafts: by colour on a terminal, else in [brackets]'),
  json: flag('one JSON object per output, with tokens, counters and seed'),
  logprobs: flag("with --json: the target's log-probability of each token"),
  quiet: flag('no statistics, warnings or progress; failures are still reported'),
};

export const generateOptions = {
  ...inputOptions,
  ...modelOptions,
  ...methodOptions,
  ...decodingOptions,
  ...repeatOptions,
  ...outputOptions,
};

export type GenerateValues = Values<typeof generateOptions>;
