/** What the candidates of a step were drawn from. */
import type { NativeStep } from '../native.ts';
import { checkBoolean, inputError } from '../validate.ts';
import { checkDistinctSiblings, type Nodes } from './nodes.ts';
import { checkProbabilities, checkRowArray, type Rows } from './rows.ts';

export type Proposals = 'drafter' | 'fixed' | Rows | undefined;

/** `rows`: the models' rows, checked. */
export function checkProposals(
  options: { proposals?: Proposals; replacement?: boolean | undefined },
  nodes: Nodes,
  vocab: number,
  rows: { target: Rows; drafterRows: Uint8Array | null },
): Pick<NativeStep, 'proposals' | 'siblings'> {
  const replacement = checkBoolean('replacement', options.replacement ?? false);
  const given = options.proposals ?? 'drafter';
  if (given === 'fixed') return { proposals: null, siblings: 'fixed' };
  if (given === 'drafter') {
    checkDrawnRows(nodes, rows.drafterRows);
    if (!replacement) checkDistinctSiblings(nodes);
    return { proposals: null, siblings: replacement ? 'with' : 'without' };
  }
  if (typeof given === 'string') {
    throw inputError('proposals', `'drafter', 'fixed' or rows of probabilities`, given);
  }
  const count = nodes.tokens.length;
  const proposals = checkRowArray('proposals', given, count, vocab, rows.target);
  checkProbabilities('proposals', proposals, vocab);
  return { proposals, siblings: 'given' };
}

/** A token cannot have been drawn from a row that is not there. */
function checkDrawnRows({ parents }: Nodes, drafterRows: Uint8Array | null): void {
  if (drafterRows === null) return;
  for (const [node, parent] of parents.entries()) {
    if (drafterRows[parent + 1] === 0) {
      throw inputError(`drafterRows[${parent + 1}]`, `1, as node ${node} was drawn from it`, 0);
    }
  }
}
