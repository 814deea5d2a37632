/** Whom to trust, from the command line; with how to draft, all that makes a method. */
import {
  bild,
  chow,
  diff,
  lossless,
  lossy,
  opt,
  tokenV1,
  tokenV2,
  tokenV3,
  type Loss,
  type Rule,
} from '../rules.ts';
import { draftOptions } from './draft-options.ts';
import { number, text, UsageError, type Values } from './options.ts';
import { numberOf, realNumber } from './real-number.ts';

const ruleNames = [
  'lossless',
  'lossy',
  'chow',
  'diff',
  'opt',
  'tokenV1',
  'tokenV2',
  'tokenV3',
  'bild',
] as const;

export const methodOptions = {
  ...draftOptions,
  rule: text({
    value: 'RULE',
    help:
      'whom to trust: lossless (the output has exactly the distribution of the target), lossy, ' +
      'chow, diff, opt, tokenV1, tokenV2, tokenV3 or bild',
    default: 'lossless',
    choices: ruleNames,
  }),
  alpha: text({
    value: 'A',
    help: 'how far the drafter is trusted; needed by every rule but lossless and bild',
    ...realNumber,
  }),
  beta: text({
    value: 'B',
    help: 'of lossy: a number, or matched (default: 1)',
    pattern: /^(matched|\d+\.?\d*|\.\d+)$/,
    expected: "'matched' or a number",
  }),
  loss: text({
    value: 'LOSS',
    help: 'of chow, diff and opt',
    shownDefault: 'zero-one',
    choices: ['zero-one', 'log'],
  }),
  rollback: text({
    value: 'D',
    help: 'of bild: largest distance at which the drafter is kept, in nats',
    ...realNumber,
  }),
  fallback: number({
    value: 'P',
    help: 'of bild: drafting stops where the drafter is less sure than this',
    shownDefault: '0',
    min: 0,
    max: 1,
  }),
};

export type MethodValues = Values<typeof methodOptions>;

/** The rule with its parameters; a missing or impossible one is a UsageError. */
export function ruleOf(values: MethodValues): Rule {
  try {
    return readRule(values);
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError(`--rule: ${messageOf(error)}`);
  }
}

function readRule(values: MethodValues): Rule {
  const loss = (values.loss ?? 'zero-one') as Loss;
  switch (values.rule as (typeof ruleNames)[number]) {
    case 'lossless':
      return lossless();
    case 'lossy': {
      const { beta = '1' } = values;
      const alpha = needed(values, 'alpha');
      return lossy({ alpha, beta: beta === 'matched' ? beta : Number(beta) });
    }
    case 'chow':
      return chow({ alpha: needed(values, 'alpha'), loss });
    case 'diff':
      return diff({ alpha: needed(values, 'alpha'), loss });
    case 'opt':
      return opt({ alpha: needed(values, 'alpha'), loss });
    case 'tokenV1':
      return tokenV1({ alpha: needed(values, 'alpha') });
    case 'tokenV2':
      return tokenV2({ alpha: needed(values, 'alpha') });
    case 'tokenV3':
      return tokenV3({ alpha: needed(values, 'alpha') });
    case 'bild':
      return bild({ rollback: needed(values, 'rollback'), fallback: values.fallback ?? 0 });
  }
}

function needed(values: MethodValues, name: 'alpha' | 'rollback'): number {
  const given = values[name];
  if (given === undefined) throw new UsageError(`--rule ${values.rule} needs --${name}`);
  return numberOf(given);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
