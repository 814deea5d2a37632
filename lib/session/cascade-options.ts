/** The two cascades without speculation: what they may be told, checked. */
import { chain, type ChainDrafter, type Drafter } from '../drafters.ts';
import type { Rule } from '../rules.ts';
import { checkInteger, checkNumber, checkOneOf, checkOptions, inputError } from '../validate.ts';

/** How sure the small model is of a whole answer; larger is surer. */
export type SequenceScore = 'probability' | 'mean-logprob' | 'quantile' | 'chow-sum';

export interface CascadeOptions {
  /**
   * Sequence cascade: 'probability' (default) of the answer; 'mean-logprob' of its tokens, less
   * biased by length; a 'quantile' of their log-probabilities (Gupta et al. 2024); 'chow-sum', the
   * sum of log-probabilities. Natural logarithms, the small model's softmax at temperature 1.
   */
  score?: SequenceScore | undefined;
  /**
   * Sequence cascade: the target answers where the score is below; any number, infinities included.
   * Default: 0.5 for a probability, -0.2 for a mean, -1 for a quantile, log 0.5 for a sum.
   */
  threshold?: number | undefined;
  /** Which quantile, 0 (the least likely token, default) to 1. */
  quantile?: number | undefined;
  /** Token cascade: most tokens between calls of the target, 1 to 255; default 10. */
  maxRun?: number | undefined;
}

export interface CascadeSettings {
  strategy: 'token-cascade' | 'sequence-cascade';
  /** The small model, as a chain of at most maxRun tokens. */
  draft: ChainDrafter;
  score: SequenceScore;
  threshold: number;
  quantile: number;
}

const scores = ['probability', 'mean-logprob', 'quantile', 'chow-sum'] as const;

const defaultThreshold = {
  probability: 0.5,
  'mean-logprob': -0.2,
  quantile: -1,
  'chow-sum': Math.log(0.5),
} as const;

interface GivenOptions {
  draft: Drafter | undefined;
  rule: Rule;
  verifier?: string | undefined;
  cascade?: CascadeOptions | undefined;
}

/** null for speculation. Throws ERR_INPUT where an option has no meaning for the strategy. */
export function checkCascade(
  strategy: 'speculative' | CascadeSettings['strategy'],
  { draft, rule, verifier = 'auto', cascade }: GivenOptions,
): CascadeSettings | null {
  if (strategy === 'speculative') {
    if (cascade !== undefined) {
      const expected = "undefined unless strategy is 'token-cascade' or 'sequence-cascade'";
      throw inputError('cascade', expected, cascade);
    }
    return null;
  }
  if (draft?.drafter !== 'chain') {
    throw inputError('draft', `a chain() of the small model for a ${strategy}`, draft);
  }
  if (verifier !== 'auto') {
    throw inputError('verifier', `auto: a ${strategy} verifies nothing`, verifier);
  }
  checkCascadeRule(strategy, rule);
  const known = strategy === 'token-cascade' ? ['maxRun'] : ['score', 'threshold', 'quantile'];
  const given = checkOptions(`cascade of a ${strategy}`, cascade ?? {}, known);
  const score = checkOneOf('cascade.score', given.score ?? 'probability', scores);
  if (given.quantile !== undefined && score !== 'quantile') {
    throw inputError('cascade.quantile', "nothing unless score is 'quantile'", given.quantile);
  }
  const length = checkInteger('cascade.maxRun', given.maxRun ?? 10, 1, 255);
  return {
    strategy,
    draft: chain(draft.model, { length }),
    score,
    threshold: checkReal('cascade.threshold', given.threshold ?? defaultThreshold[score]),
    quantile: checkNumber('cascade.quantile', given.quantile ?? 0, 0, 1),
  };
}

/** Of a session or of a call. Throws ERR_INPUT for a rule that has no meaning for the strategy. */
export function checkCascadeRule(strategy: CascadeSettings['strategy'], rule: Rule): void {
  if ((rule.rule === 'lossless') === (strategy === 'sequence-cascade')) return;
  const expected = {
    'token-cascade': 'a rule that can keep the drafter, such as chow({ alpha })',
    'sequence-cascade': 'none: cascade.threshold decides',
  };
  throw inputError('rule', expected[strategy], rule.rule);
}

function checkReal(name: string, value: unknown): number {
  if (typeof value === 'number' && !Number.isNaN(value)) return value;
  throw inputError(name, 'a number', value);
}
