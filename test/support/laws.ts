/**
 * The engine's own mathematics laid open, which no session runs: exact laws by enumeration, and
 * single rows and proposals. A module of its own, native/test/laws; undefined numbers are NaN.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { SpeccascadeError } from '../../lib/errors.ts';
import type {
  NativePlaces,
  NativeRows,
  NativeRule,
  NativeScaling,
  NativeSiblings,
  NativeStep,
} from '../../lib/native.ts';

/** One drafted token at one position. */
export interface PositionLaw {
  pi: Float64Array;
  accept: Float64Array;
  residual: Float64Array | null;
  kept: Int32Array | null;
  deferral: number;
  rate: number;
  variation: number;
  largestDrafter: number;
  largestTarget: number;
}

/** Candidates at one position, averaged: rate, rate per try, emitted as candidate or afterwards. */
export interface CandidateLaw {
  rate: number;
  steps: Float64Array;
  accepted: Float64Array;
  rejected: Float64Array;
}

/** Cascade drafting by models that are functions; model 0 is the target. */
export interface Cascade extends Omit<NativePlaces, 'target' | 'drafter'> {
  float: boolean;
  /** Model numbers; -1, last: copies from `copy`, or by Max-Gram from `input` where that is null. */
  drafts: Int32Array;
  /** [drafts, drafts] */
  lengths: Int32Array;
  /** The rule of the reviews below the target; `rule` is the target's. */
  leniency: NativeRule;
  logits: (model: number, prefix: Int32Array) => NativeRows;
  copy: ((prefix: Int32Array) => Int32Array) | null;
  input: Int32Array;
  start: number;
}

export interface Laws {
  scale(args: { rows: NativeRows; vocabulary: number; scaling: NativeScaling }): NativeRows;
  /** `bigrams`: successor per token, negative for none. */
  maxGram(args: {
    input: Int32Array;
    output: Int32Array;
    ends: Int32Array;
    bigrams: Int32Array;
    length: number;
  }): { match: number; start: number; tokens: Int32Array };
  /** Unscaled rows where they are not the scaled ones at temperature 1. */
  positionLaw(
    args: NativePlaces & { drafterUnscaled?: NativeRows; targetUnscaled?: NativeRows },
  ): PositionLaw;
  /** `accept` and `residual` are of `candidates`; `bound`: the best rate that any scheme has. */
  candidateLaw(args: {
    vocabulary: number;
    wanted: NativeRows;
    drafter: NativeRows;
    siblings: NativeSiblings;
    k: number;
    candidates: Int32Array;
  }): CandidateLaw & { accept: Float64Array; residual: Float64Array; bound: number };
  kseqLaw(args: {
    vocabulary: number;
    wanted: NativeRows;
    drafter: NativeRows;
    k: number;
  }): CandidateLaw & { rho: number; beta: number; residual: Float64Array | null };
  /**
   * A step over models given after every prefix of at most widths.length tokens: place 0 follows
   * the empty one, and that of prefix n followed by token v is n x vocabulary + 1 + v. `length`:
   * chance of n + 1 tokens; `emitted`: of exactly the tokens of a prefix.
   */
  stepLaw(
    args: NativePlaces & Pick<NativeStep, 'siblings' | 'verifier'> & { widths: Int32Array },
  ): { length: Float64Array; first: Float64Array; emitted: Float64Array };
  blockScan(args: NativePlaces & { draft: Int32Array }): {
    weights: Float64Array;
    thresholds: Float64Array;
    rows: (Float64Array | null)[];
    masses: Float64Array;
  };
  cascadeLaw(args: Cascade): {
    length: Float64Array;
    calls: Float64Array;
    emitted: { tokens: Int32Array; chance: number }[];
  };
  cascadeGreedy(args: Cascade & { count: number }): {
    tokens: Int32Array;
    steps: Int32Array;
    calls: Float64Array;
  };
}

interface LawsModule extends Laws {
  setErrorClass(errorClass: typeof SpeccascadeError): void;
}

const file = path.resolve(import.meta.dirname, '../../build-cmake/Release/speccascade_laws.node');
export const areLawsBuilt = (): boolean => existsSync(file);

function load(): Laws {
  if (!areLawsBuilt()) throw new Error('no exact laws: run node scripts/build-native.mjs --laws');
  const laws = createRequire(import.meta.url)(file) as LawsModule;
  laws.setErrorClass(SpeccascadeError);
  return laws;
}

let loaded: Laws | undefined;

/** Loaded when first asked for: what runs on a device alone does without. */
export const laws = (): Laws => (loaded ??= load());
