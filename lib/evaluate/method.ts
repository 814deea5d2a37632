/** A decoding method, as a sweep runs it: how sessions are made, and what figures are called. */
import type { SessionOptions } from '../session/options.ts';

/** All but the sizes and the temperature, which the sweep chooses. */
export type MethodSession = Omit<
  SessionOptions,
  'sampling' | 'maxNewTokens' | 'maxInputTokens' | 'maxBatch' | 'truncate'
>;

export interface Method {
  /** Names the method in files, its parameter included: the same text is the same method. */
  id: string;
  /** Without the parameter: the points of a curve share it. */
  curve: string;
  /** What is varied along the curve, such as alpha; null where nothing is. */
  parameter: number | null;
  /**
   * target: the large model alone, which others are compared with; alone: a small model without it;
   * draft: lossless speculation; rule: with a deferral rule; cascade: without speculation.
   */
  kind: 'target' | 'alone' | 'draft' | 'rule' | 'cascade';
  session: MethodSession;
}
