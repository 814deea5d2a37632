/** The options of `speccascade batch`. */
import { maxSlots, usualSizes } from '../session/usual-sizes.ts';
import { decodingOptions } from './generate-options.ts';
import { methodOptions } from './method-options.ts';
import { modelOptions } from './models.ts';
import { flag, integer, number, seed, text, UsageError, type Values } from './options.ts';

const jobOptions = {
  output: text({
    value: 'FILE',
    help: 'write to FILE (.gz and .zst are compressed); - is standard output',
    shownDefault: '-',
  }),
  field: text({
    value: 'NAME',
    help: 'the field of a record that holds its text or token ids',
    default: 'text',
    pattern: /^(?!(id|options)?$)/,
    expected: 'a name other than id and options',
  }),
  resume: flag('go on with an interrupted job, or begin it'),
  overwrite: flag('begin anew where the output exists already'),
  shard: text({
    value: 'I/N',
    help: 'only records I, I + N, I + 2 N, ... of the input',
    shownDefault: '1/1',
    pattern: /^[1-9]\d{0,6}\/[1-9]\d{0,6}$/,
    expected: 'I/N with I from 1 to N',
  }),
  seed: seed({
    value: 'SEED',
    help: 'every record gets a seed from it and its place in the input',
    shownDefault: '0',
  }),
  'max-batch': integer({
    value: 'N',
    help: 'records decoded together',
    default: usualSizes.maxBatch,
    min: 1,
    max: maxSlots,
  }),
  'order-by-length': flag('decode records of similar length together; the output is the same'),
  'checkpoint-seconds': number({
    value: 'S',
    help: 'time between two checkpoints; 0: after every line',
    shownDefault: '2',
    min: 0,
    max: 3600,
  }),
};

const viewOptions = {
  tokens: flag("lines hold the output's token ids as well"),
  counters: flag('lines hold the counters of the decoding as well'),
  json: flag('the summary as JSON, on standard error'),
  quiet: flag('no progress and no summary'),
};

export const batchOptions = {
  ...jobOptions,
  ...modelOptions,
  ...methodOptions,
  ...decodingOptions,
  ...viewOptions,
};

export type BatchValues = Values<typeof batchOptions>;

/** Throws UsageError for what is of files, where the output is none, and what excludes each other. */
export function checkOutputOptions(values: BatchValues): void {
  if (values.resume && values.overwrite) {
    throw new UsageError('--resume and --overwrite exclude each other');
  }
  if (values.output !== undefined && values.output !== '-') return;
  const ofFiles = ['resume', 'overwrite', 'checkpoint-seconds'] as const;
  const name = ofFiles.find((one) => values[one] !== undefined && values[one] !== false);
  if (name !== undefined) throw new UsageError(`--${name} needs --output FILE`);
}

/** Throws UsageError for an index above the count. */
export function shardOf({ shard = '1/1' }: BatchValues): { index: number; count: number } {
  const [index = 0, count = 0] = shard.split('/').map(Number);
  if (index <= count) return { index, count };
  throw new UsageError(`--shard: expected I/N with I from 1 to N, received "${shard}"`);
}
