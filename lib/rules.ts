/** Deferral rules: whom to trust, token by token. Each is a distribution the output follows. */

/** Standard speculative decoding: pi = the target's distribution. */
export interface LosslessRule {
  readonly rule: 'lossless';
}

export type Rule = LosslessRule;

/**
 * Standard speculative decoding (Leviathan et al. 2023): every emitted token has exactly the
 * target's distribution, whatever the drafter; greedy output equals the target's own. The default.
 */
export function lossless(): LosslessRule {
  return { rule: 'lossless' };
}
