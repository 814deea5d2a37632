/**
 * Deferral rules: whom to trust, token by token. Each is a distribution pi, made from the drafter's
 * row q and the target's row p, that the emitted token follows exactly; see docs/methods.md.
 *
 * q and p are as drawn from (temperature, top-k, top-p); confidences are read from the rows at
 * temperature 1, unfiltered: m_q, m_p are their largest probabilities, H their entropies in nats.
 * Equality keeps the drafter. Source, unless said otherwise: Narasimhan et al., "Faster Cascades via
 * Speculative Decoding", ICLR 2025.
 */
import type { NativeRule } from './native.ts';
import type { WithDefaults } from './types.ts';
import {
  checkKeys,
  checkNumber,
  checkObject,
  checkOneOf,
  checkOptions,
  inputError,
} from './validate.ts';

export interface LosslessRule {
  readonly rule: 'lossless';
}

export interface LossyRule {
  readonly rule: 'lossy';
  readonly alpha: number;
  readonly beta: number | 'matched';
}

/** What the loss of trusting a model is: its chance of error, or its entropy. */
export type Loss = 'zero-one' | 'log';

export interface PositionRule {
  readonly rule: 'chow' | 'diff' | 'opt';
  readonly alpha: number;
  readonly loss: Loss;
}

export interface TokenRule {
  readonly rule: 'tokenV1' | 'tokenV2' | 'tokenV3';
  readonly alpha: number;
}

export interface BildRule {
  readonly rule: 'bild';
  readonly rollback: number;
  readonly fallback: number;
}

/** As the constructors make them. */
export type Rule = LosslessRule | LossyRule | PositionRule | TokenRule | BildRule;

/** As callers may write them: what has a default may be left out. */
export type RuleInput =
  | LosslessRule
  | WithDefaults<LossyRule, 'beta'>
  | WithDefaults<PositionRule, 'loss'>
  | TokenRule
  | WithDefaults<BildRule, 'fallback'>;

/**
 * Standard speculative decoding (Leviathan et al. 2023): every emitted token has exactly the
 * target's distribution, whatever the drafter; greedy output equals the target's own. The default.
 */
export function lossless(): LosslessRule {
  return { rule: 'lossless' };
}

/** What decimals may be off by as doubles: 1 - 0.7 is a little above 0.3. */
const rounding = 4 * Number.EPSILON;

/**
 * Lossy speculative decoding: drafted tokens are accepted with probability min(1, p/((1-alpha) q)).
 * alpha = 1 - l for Leviathan's lenience l. 0 <= alpha < 1: 0 (with beta 1) is lossless, towards 1
 * the drafter alone (where p > 0). `beta` >= 1 - alpha shapes the residual, max(0, p/beta - q);
 * default 1, and a beta that falls short by rounding alone counts as 1 - alpha; 'matched' is the one
 * for which pi = max(min(q, p/(1-alpha)), p/beta).
 * Errors: ERR_INPUT.
 */
export function lossy(options: {
  alpha: number;
  beta?: number | 'matched' | undefined;
}): LossyRule {
  const { alpha, beta = 1 } = checkOptions('lossy', options, ['alpha', 'beta']);
  checkNumber('lossy alpha', alpha, 0, 1);
  if (alpha === 1) throw inputError('lossy alpha', 'a number below 1', alpha);
  if (beta === 'matched') return { rule: 'lossy', alpha, beta };
  const least = 1 - alpha;
  if (!(typeof beta === 'number' && beta >= least - rounding)) {
    const shown = Number(least.toPrecision(12));
    throw inputError('lossy beta', `'matched' or a number >= 1 - alpha = ${shown}`, beta);
  }
  return { rule: 'lossy', alpha, beta: Math.max(beta, least) };
}

/**
 * Keeps the drafter where it is confident: m_q >= 1 - alpha (loss 'log': H(q) <= alpha). Reads the
 * drafter alone. alpha < 0: lossless; alpha = 1 (log: infinity): the drafter alone. Any number but
 * NaN, infinities included. Errors: ERR_INPUT.
 */
export function chow(options: { alpha: number; loss?: Loss | undefined }): PositionRule {
  return positionRule('chow', options);
}

/**
 * Keeps the drafter where the target is not much more confident: m_q >= m_p - alpha (loss 'log':
 * H(q) <= H(p) + alpha). alpha = -1 (log: -infinity): lossless; alpha = 1 (log: infinity): the
 * drafter alone. Errors: ERR_INPUT.
 */
export function diff(options: { alpha: number; loss?: Loss | undefined }): PositionRule {
  return positionRule('diff', options);
}

/**
 * The optimal rule for the cost of a rejection, which the total variation of p and q is:
 * m_q >= m_p - alpha TV(p, q) (loss 'log': H(q) <= H(p) + alpha TV). alpha = -infinity: lossless;
 * +infinity: the drafter alone. At temperature 0 it equals `diff`. Errors: ERR_INPUT.
 */
export function opt(options: { alpha: number; loss?: Loss | undefined }): PositionRule {
  return positionRule('opt', options);
}

/**
 * Keeps the drafter's token v where q(v) >= m_p - alpha; the drafter's mass off these tokens is
 * spread as p. alpha = -1: lossless; alpha = 1: the drafter alone. Errors: ERR_INPUT.
 */
export function tokenV1(options: { alpha: number }): TokenRule {
  return tokenRule('tokenV1', options);
}

/** As tokenV1, for tokens with p(v) >= m_p - alpha. alpha < 0: lossless; alpha = 1: the drafter. */
export function tokenV2(options: { alpha: number }): TokenRule {
  return tokenRule('tokenV2', options);
}

/**
 * As tokenV1, for tokens with p(v) >= (1 - alpha) m_p. alpha < 0: lossless (at 0 only the target's
 * most probable token is trusted, which is not lossless when sampling); alpha = 1: the drafter.
 */
export function tokenV3(options: { alpha: number }): TokenRule {
  return tokenRule('tokenV3', options);
}

/**
 * BiLD (Kim et al. 2023) run speculatively: keeps the drafter where its distance from the target is
 * at most `rollback`, in nats: the cross-entropy of q and p, at temperature 0 -log p of the
 * drafter's choice. rollback < 0: lossless; infinity: the drafter alone; the literature sweeps 0
 * to 10. `fallback`, 0 to 1: drafting stops before a position where m_q is below it (default 0:
 * never; with csDraft() the only value). Errors: ERR_INPUT.
 */
export function bild(options: { rollback: number; fallback?: number | undefined }): BildRule {
  const { rollback, fallback = 0 } = checkOptions('bild', options, ['rollback', 'fallback']);
  checkAlpha('bild rollback', rollback);
  return { rule: 'bild', rollback, fallback: checkNumber('bild fallback', fallback, 0, 1) };
}

function positionRule(
  rule: PositionRule['rule'],
  options: { alpha: number; loss?: Loss | undefined },
): PositionRule {
  checkOptions(rule, options, ['alpha', 'loss']);
  const loss = checkOneOf(`${rule} loss`, options.loss ?? 'zero-one', ['zero-one', 'log']);
  return { rule, alpha: checkAlpha(`${rule} alpha`, options.alpha), loss };
}

function tokenRule(rule: TokenRule['rule'], options: { alpha: number }): TokenRule {
  checkOptions(rule, options, ['alpha']);
  return { rule, alpha: checkAlpha(`${rule} alpha`, options.alpha) };
}

function checkAlpha(name: string, alpha: unknown): number {
  if (typeof alpha === 'number' && !Number.isNaN(alpha)) return alpha;
  throw inputError(name, 'a number (infinities included)', alpha);
}

const ruleNames = 'lossless, lossy, chow, diff, opt, tokenV1, tokenV2, tokenV3, bild';

/** A rule that may have been written by hand: checked, defaults filled in. Errors: ERR_INPUT. */
export function checkRule(rule: RuleInput): Rule {
  const { rule: name, ...options } = checkObject('rule', rule) as RuleInput;
  // Names are what callers may have got wrong; what is said of a rule its constructor checks.
  switch (name) {
    case 'lossless':
      checkKeys(name, options, []);
      return lossless();
    case 'lossy':
      return lossy(options as LossyRule);
    case 'chow':
    case 'diff':
    case 'opt':
      return positionRule(name, options as PositionRule);
    case 'tokenV1':
    case 'tokenV2':
    case 'tokenV3':
      return tokenRule(name, options as TokenRule);
    case 'bild':
      return bild(options as BildRule);
    default:
      throw inputError('rule', `one of ${ruleNames}`, name);
  }
}

/** A rule that has been checked, in the native form. */
export function nativeRule(rule: Rule): NativeRule {
  switch (rule.rule) {
    case 'lossless':
      return { kind: 'lossless', alpha: 0, beta: 1 };
    case 'lossy': {
      const { alpha, beta } = rule;
      if (beta === 'matched') return { kind: 'lossyMatched', alpha, beta: 1 };
      return { kind: 'lossy', alpha, beta };
    }
    case 'chow':
    case 'diff':
    case 'opt': {
      const { alpha, loss } = rule;
      return { kind: loss === 'log' ? `${rule.rule}Log` : rule.rule, alpha, beta: 1 };
    }
    case 'tokenV1':
    case 'tokenV2':
    case 'tokenV3':
      return { kind: rule.rule, alpha: rule.alpha, beta: 1 };
    case 'bild':
      return { kind: 'bild', alpha: rule.rollback, beta: 1 };
  }
}
