/** The candidates of a step: a tree of tokens, checked, and which verifier it is for. */
import type { NativeStep } from '../native.ts';
import { checkArrayOf, checkOneOf, inputError } from '../validate.ts';

const verifiers = ['auto', 'token', 'block', 'traversal'] as const;

export interface Nodes {
  parents: Int32Array;
  tokens: Int32Array;
  /** The first node whose parent is not the node before it; -1: the nodes are a chain. */
  branch: number;
}

export function checkNodes(parents: unknown, tokens: unknown, vocab: number): Nodes {
  const nodes = {
    parents: checkArrayOf('parents', parents, Int32Array),
    tokens: checkArrayOf('tokens', tokens, Int32Array),
  };
  return checkTree(nodes, vocab);
}

function checkTree({ parents, tokens }: Omit<Nodes, 'branch'>, vocab: number): Nodes {
  if (tokens.length !== parents.length) {
    throw inputError('tokens', `as many as parents (${parents.length})`, tokens.length);
  }
  for (const [node, parent] of parents.entries()) {
    if (parent < -1 || parent >= node) {
      throw inputError(`parents[${node}]`, `-1 or a node before ${node}`, parent);
    }
  }
  for (const [node, token] of tokens.entries()) {
    if (token < 0 || token >= vocab) {
      throw inputError(`tokens[${node}]`, `a token from 0 to ${vocab - 1}`, token);
    }
  }
  return { parents, tokens, branch: parents.findIndex((parent, node) => parent !== node - 1) };
}

/** Siblings drawn without replacement are all different. */
export function checkDistinctSiblings({ parents, tokens }: Nodes): void {
  const seen = new Set<string>();
  for (const [node, token] of tokens.entries()) {
    const key = `${parents[node]},${token}`;
    if (seen.has(key)) {
      const expected = 'a token that no earlier sibling has (replacement is false)';
      throw inputError(`tokens[${node}]`, expected, token);
    }
    seen.add(key);
  }
}

/**
 * 'auto' is block on chains and token elsewhere; block means nothing where the draft branches.
 * Traversal is block verification where it does not.
 */
export function checkVerifier(verifier: unknown, nodes: Nodes): NativeStep['verifier'] {
  const chosen = checkOneOf('verifier', verifier ?? 'auto', verifiers);
  if (chosen === 'traversal') return chosen;
  if (nodes.branch < 0) return chosen === 'token' ? 'chain' : 'block';
  if (chosen !== 'block') return 'tree';
  const parent = nodes.parents[nodes.branch];
  throw inputError(
    'verifier',
    `'token' or 'traversal' for candidates that branch (parents[${nodes.branch}] is ${parent})`,
    verifier,
  );
}
