/**
 * What speculation should gain, from measured costs and acceptance: the formulas of docs/methods.md,
 * with the acceptance of each depth in place of one for all. They rank candidates; what is
 * recommended is measured.
 */
import { native } from '../native.ts';
import type { Probe } from './tune-probe.ts';

export interface Costs {
  /** The target decoding alone. */
  target: Probe;
  /** Milliseconds of one pass of the drafter over one position. */
  draftMs: number;
  /** Milliseconds of the target's pass over so many positions, from few to many. */
  passes: readonly { positions: number; ms: number }[];
  encodeMsPerToken: number;
}

export interface Shape {
  /** Acceptance of each depth that is drafted. */
  acceptance: readonly number[];
  /** Drafted nodes in all. */
  nodes: number;
}

/** Tokens per pass of the target. */
export function expectedTokens({ acceptance }: Shape): number {
  return expectation('treeTokens', acceptance);
}

/** Times as fast as the target alone. */
export function predictSpeedup(shape: Shape, costs: Costs): number {
  const stepMs = shape.acceptance.length * costs.draftMs + passMs(costs.passes, 1 + shape.nodes);
  return speedupOf(expectedTokens(shape), stepMs, costs);
}

/** Of steps of so many tokens and milliseconds, encoding included. */
export function speedupOf(
  tokens: number,
  stepMs: number,
  { target, encodeMsPerToken }: Pick<Costs, 'target' | 'encodeMsPerToken'>,
): number {
  const alone = target.encodeMsPerToken + target.stepMs / target.tokensPerStep;
  return alone / (encodeMsPerToken + stepMs / tokens);
}

/**
 * Tokens per pass of the target where the draft is so many reviews, by a first drafter, of `length`
 * tokens of a second: the formula of vertical cascades with drafts that cost nothing. What they cost
 * is measured, since passes over several positions are not those over one.
 */
export function verticalTokens(cascade: {
  acceptance: number;
  lower: number;
  reviews: number;
  length: number;
}): number {
  const { acceptance, lower, reviews, length } = cascade;
  return expectation('ewifVertical', [acceptance, lower, reviews, length, 0, 0]);
}

/** Tokens that a step of a chain emits. */
export function chainTokens(acceptance: number, length: number): number {
  return expectation('tokens', [acceptance, length]);
}

/** Between the measured numbers of positions on a line, beyond them along the last one. */
export function passMs(passes: Costs['passes'], positions: number): number {
  const above = passes.findIndex((pass) => pass.positions >= positions);
  if (above === 0 || passes.length === 1) return passes[0]!.ms;
  const high = passes[above < 0 ? passes.length - 1 : above]!;
  const low = passes[(above < 0 ? passes.length - 1 : above) - 1]!;
  const slope = (high.ms - low.ms) / (high.positions - low.positions);
  return low.ms + slope * (positions - low.positions);
}

function expectation(name: string, args: readonly number[]): number {
  return native.lowlevel.expectation({ name, args: Float64Array.from(args) });
}
