/** The options of `speccascade tune`. */
import { maxSlots } from '../session/usual-sizes.ts';
import { lengthOption } from './length-option.ts';
import { evaluationOptions } from './sweep-options.ts';
import { flag, integer, number, seed, text, texts, UsageError, type Values } from './options.ts';

export const tuneOptions = {
  ...evaluationOptions,
  draft: texts({
    value: 'MODEL',
    help: 'drafters to consider, largest first',
    shownDefault: 'the smaller bundled models with a bundled target',
  }),
  goal: text({
    value: 'GOAL',
    help: "lossless: the fastest method whose outputs are the target's own (the default)",
    choices: ['lossless'],
  }),
  'max-bleu-loss': number({
    value: 'X',
    help: 'instead of --goal: the fastest method within X BLEU of the target; needs references',
    min: 0,
    max: 100,
  }),
  limit: integer({ value: 'N', help: 'only the first N texts', default: 100, min: 1, max: 1e6 }),
  temperature: number({
    value: 'T',
    help: 'at which you decode; 0 is greedy',
    default: 0,
    min: 0,
    max: 1e6,
  }),
  batch: integer({
    value: 'N',
    help: 'texts that you decode together',
    default: 1,
    min: 1,
    max: maxSlots,
  }),
  candidates: integer({
    value: 'N',
    help: 'how many of the most promising lossless methods are measured',
    default: 10,
    min: 1,
    max: 100,
  }),
  ...lengthOption,
  seed: seed({ value: 'SEED', help: 'of all draws', shownDefault: '0' }),
  json: flag('the recommendation and its evidence as JSON'),
  quiet: flag('no progress'),
};

export type TuneValues = Values<typeof tuneOptions>;

/** What the table of options cannot say. */
export function checkTune(values: TuneValues): void {
  const { goal, input, references, 'max-bleu-loss': loss } = values;
  if (goal !== undefined && loss !== undefined) {
    throw new UsageError('--goal lossless and --max-bleu-loss exclude each other');
  }
  const scored = input === undefined || input.endsWith('.jsonl') || references !== undefined;
  if (loss !== undefined && !scored) {
    throw new UsageError('--max-bleu-loss needs --references, or JSON lines that hold them');
  }
}
