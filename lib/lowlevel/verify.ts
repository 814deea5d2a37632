/** One verification step on rows that the caller has: options checked, then run natively. */
import { native, type NativeRule, type NativeStep } from '../native.ts';
import { checkRule, nativeRule, type RuleInput } from '../rules.ts';
import { checkArrayOf, checkInteger, checkOptions, checkSeed, inputError } from '../validate.ts';
import { checkNodes, checkVerifier, type Nodes } from './nodes.ts';
import { checkProposals, type Proposals } from './proposals.ts';
import {
  checkDevice,
  checkFloats,
  checkLogits,
  checkRowArray,
  checkScaling,
  type ScalingOptions,
} from './rows.ts';

export interface VerifyOptions extends ScalingOptions {
  /** Whom to trust: what makes pi of the two models' rows. */
  rule: RuleInput;
  /**
   * 'cpu' (default, and what 'auto' is); 'cuda', 'cuda:N': the kernels of a session's step, in float.
   * They take at most 255 candidates and positions up to 2^30, and no uniforms, drafterRows, request
   * or, by tree or traversal, proposals: ERR_DEVICE.
   */
  device?: string | undefined;
  /** Numbers per row, 1 to 2^24. */
  vocab: number;
  /** [nodes] what each candidate follows, -1: the prefix. Parents before children, siblings in the order drawn. */
  parents: Int32Array;
  /** [nodes] the candidates. */
  tokens: Int32Array;
  /** [nodes + 1, vocab]: row 0 follows the prefix, row i + 1 follows node i. */
  targetLogits: Float32Array | Float64Array;
  /**
   * Same places and type: the reference drafter's rows, from which pi is computed; rows of leaves
   * serve the token after a draft that was accepted whole. May be left out for lossless() unless
   * tokens were drawn from them.
   */
  drafterLogits?: Float32Array | Float64Array | undefined;
  /** [nodes + 1], 0: that row is absent (its numbers are not read) and pi = target there. */
  drafterRows?: Uint8Array | undefined;
  /**
   * What each node's token was drawn from: 'drafter' (default), the drafter's row at its parent;
   * 'fixed', nothing: chosen without chance (top-k, Max-Gram), accepted with pi(token); or these
   * probabilities, [nodes, vocab], taken as they are.
   */
  proposals?: 'drafter' | 'fixed' | Float32Array | Float64Array | undefined;
  /** Whether siblings were drawn with replacement; default false. Counts for proposals 'drafter'. */
  replacement?: boolean | undefined;
  /**
   * 'auto' (default): block on chains, token elsewhere. 'block' on branches is ERR_INPUT;
   * 'traversal' is what block is, for trees.
   */
  verifier?: 'auto' | 'token' | 'block' | 'traversal' | undefined;
  /** Accepted, these end the step: nothing follows them. */
  stopTokens?: Int32Array | undefined;
  /**
   * Address of the draws, as in the engine: seed (0 to 2^64 - 1, default 0), the request's number
   * within it (0), index in the output of the first new token (0), target passes before (0). The
   * draw of a node at depth d has counter (request, position + d, step, accept + 16 x node).
   */
  seed?: number | bigint | undefined;
  request?: number | undefined;
  position?: number | undefined;
  step?: number | undefined;
  /** [nodes + 1], in [0, 1), instead of a seed: one per node, the last for the final draw by inverse CDF. */
  uniforms?: Float64Array | undefined;
}

export interface VerifyResult {
  /** Node ids along the accepted path. */
  accepted: Int32Array;
  /** The token after them; -1 after an accepted stop token. */
  next: number;
  /**
   * Per tested position, those of the path and the one where all candidates were rejected: 0 or 1
   * (position rules), the drafter's mass off the kept tokens (token rules), 0 (others). Where the
   * drafter's row is absent 1, for rules that defer.
   */
  deferral: Float32Array;
}

const keys = [
  ...['rule', 'device', 'vocab', 'parents', 'tokens', 'targetLogits', 'drafterLogits'],
  ...['drafterRows', 'proposals', 'replacement', 'verifier', 'temperature', 'topK', 'topP'],
  ...['stopTokens', 'seed', 'request', 'position', 'step', 'uniforms'],
];

/**
 * Accepts candidates and draws the token after them, as one step of the engine does: the very same
 * code, in float (Float32Array rows) or in double (Float64Array rows). A chain is
 * parents = [-1, 0, 1, ...]; no nodes at all is a plain draw from pi.
 *
 * A candidate is accepted with min(1, t/r), t what is still wanted there, r what it was drawn from.
 * A token with r = 0 cannot have been drawn; it counts as accepted where t > 0, else as rejected.
 *
 * Errors: ERR_INPUT (the value and its place), ERR_NUMERIC (NaN or infinite logits), ERR_DEVICE.
 */
export function verify(given: VerifyOptions): VerifyResult {
  const options = checkOptions('options', given, keys);
  const device = checkDevice(options.device);
  const rule = nativeRule(checkRule(options.rule));
  const vocab = checkInteger('vocab', options.vocab, 1, 2 ** 24);
  const nodes = checkNodes(options.parents, options.tokens, vocab);
  const rows = checkModelRows(options, rule, nodes, vocab);
  const proposals = checkProposals(options, nodes, vocab, rows);
  const step: NativeStep = {
    rule,
    scaling: checkScaling(options, vocab),
    vocabulary: vocab,
    parents: nodes.parents,
    tokens: nodes.tokens,
    ...rows,
    ...proposals,
    verifier: checkVerifier(options.verifier, nodes),
    stopTokens: checkStops(options.stopTokens, vocab),
    ...checkDraws(options, nodes.tokens.length),
  };
  if (device === null) return native.lowlevel.verify(step);
  checkFloats('targetLogits', rows.target);
  return native.lowlevel.deviceVerify({ ...step, device });
}

type ModelRows = Pick<NativeStep, 'target' | 'drafter' | 'drafterRows'>;

function checkModelRows(
  options: VerifyOptions,
  rule: NativeRule,
  nodes: Nodes,
  vocab: number,
): ModelRows {
  const drafterRows =
    options.drafterRows === undefined
      ? null
      : checkArrayOf('drafterRows', options.drafterRows, Uint8Array);
  const count = nodes.tokens.length + 1;
  const target = checkRowArray('targetLogits', options.targetLogits, count, vocab);
  checkLogits('targetLogits', target, vocab);
  if (drafterRows !== null && drafterRows.length !== count) {
    throw inputError('drafterRows', `nodes + 1 = ${count} entries`, drafterRows.length);
  }
  if (options.drafterLogits === undefined) {
    const drawn = nodes.tokens.length > 0 ? (options.proposals ?? 'drafter') : 'fixed';
    checkNoDrafter(rule, drafterRows, drawn);
    return { target, drafter: null, drafterRows: null };
  }
  const drafter = checkRowArray('drafterLogits', options.drafterLogits, count, vocab, target);
  checkLogits('drafterLogits', drafter, vocab, (row) => drafterRows?.[row] !== 0);
  return { target, drafter, drafterRows };
}

function checkNoDrafter(
  rule: NativeRule,
  drafterRows: Uint8Array | null,
  proposals: Proposals,
): void {
  if (rule.kind !== 'lossless') {
    throw inputError('drafterLogits', `rows, which the rule ${rule.kind} reads`, undefined);
  }
  if (drafterRows !== null) {
    throw inputError('drafterLogits', 'rows, which drafterRows speaks of', undefined);
  }
  if (proposals === 'drafter') {
    throw inputError('drafterLogits', `rows, which proposals 'drafter' were drawn from`, undefined);
  }
}

function checkStops(given: unknown, vocab: number): Int32Array {
  if (given === undefined) return new Int32Array();
  const stops = checkArrayOf('stopTokens', given, Int32Array);
  const outside = stops.findIndex((token) => token < 0 || token >= vocab);
  if (outside < 0) return stops;
  throw inputError(`stopTokens[${outside}]`, `a token from 0 to ${vocab - 1}`, stops[outside]);
}

type Draws = Pick<NativeStep, 'uniforms' | 'seed' | 'request' | 'position' | 'step'>;

function checkDraws(options: VerifyOptions, nodes: number): Draws {
  const word = (name: 'request' | 'position' | 'step'): number =>
    checkInteger(name, options[name] ?? 0, 0, 2 ** 32 - 1);
  const address = { request: word('request'), position: word('position'), step: word('step') };
  if (options.uniforms === undefined) {
    return { uniforms: null, seed: checkSeed(options.seed ?? 0n), ...address };
  }
  if (options.seed !== undefined) {
    throw inputError('seed', 'none where uniforms are given', options.seed);
  }
  const uniforms = checkArrayOf('uniforms', options.uniforms, Float64Array);
  if (uniforms.length !== nodes + 1) {
    throw inputError('uniforms', `nodes + 1 = ${nodes + 1} numbers`, uniforms.length);
  }
  const outside = uniforms.findIndex((uniform) => !(uniform >= 0 && uniform < 1));
  if (outside >= 0) {
    throw inputError(`uniforms[${outside}]`, 'a number in [0, 1)', uniforms[outside]);
  }
  return { uniforms, seed: 0n, ...address };
}
