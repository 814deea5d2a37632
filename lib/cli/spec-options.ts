/** What a method's line may say: the options of one session, and those that only commands for several have. */
import { methodOptions } from './method-options.ts';
import { integer, number, text, type Values } from './options.ts';

const real = /^[+-]?(\d+\.?\d*|\.\d+|inf|infinity)(e[+-]?\d+)?$/i;
const draftLength = (help: string) => integer({ value: 'N', help, min: 1, max: 255 });

export const specOptions = {
  ...methodOptions,
  draft: text({
    value: 'MODEL,...',
    help: 'the drafters, largest first; large, base and small are the bundled models',
  }),
  alone: text({ value: 'MODEL', help: 'decode with this model, without the target' }),
  nodes: draftLength('a dynamic tree of so many nodes'),
  depth: draftLength('of a dynamic tree'),
  lengths: text({
    value: 'MATRIX',
    help: 'cascade drafting: tokens per stage, rows with slashes between them',
    pattern: /^\d+(,\d+)*(\/\d+(,\d+)*)*$/,
    expected: 'rows of whole numbers, such as 2,3/0,3',
  }),
  lenience: number({ value: 'L', help: 'of cascade drafting', default: 1, min: 1, max: 1e9 }),
  'max-gram': draftLength('draft by Max-Gram, so many tokens'),
  adaptive: draftLength('choose the length step by step, up to N'),
  confidence: number({ value: 'P', help: 'of adaptive', default: 0, min: 0, max: 1 }),
  verifier: text({
    value: 'NAME',
    help: 'how drafts are tested',
    default: 'auto',
    choices: ['auto', 'token', 'block', 'k-seq'],
  }),
  strategy: text({
    value: 'NAME',
    help: 'token-cascade or sequence-cascade: the baselines without speculation',
    default: 'speculative',
    choices: ['speculative', 'token-cascade', 'sequence-cascade'],
  }),
  score: text({ value: 'NAME', help: 'of a sequence cascade' }),
  threshold: text({
    value: 'X',
    help: 'of a sequence cascade',
    pattern: real,
    expected: 'a number, inf or -inf',
  }),
  quantile: number({ value: 'Q', help: 'of a sequence cascade', min: 0, max: 1 }),
  'max-run': draftLength('of a token cascade'),
};

/** Those of which a list may be given, the parameter of a curve. */
export const parameters = ['alpha', 'rollback', 'threshold'] as const;

export type SpecValues = Values<typeof specOptions>;

export function realNumber(value: string): number {
  const infinite = /^([+-]?)inf/i.exec(value);
  if (infinite) return infinite[1] === '-' ? -Infinity : Infinity;
  return Number(value);
}
