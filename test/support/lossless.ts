/** Greedy speculation against the target's own greedy output: the check and its sweep. */
import { chain, createSession, tree, type Drafter, type T5Model } from '../../lib/index.ts';

export interface LosslessCase {
  /** Candidates per node, level by level; a chain of length gamma is gamma ones. */
  widths: number[];
  batch: number;
}

export const chains = [1, 2, 3, 4, 5, 6, 7, 8].map((gamma) => Array<number>(gamma).fill(1));
export const trees = [
  [4, 2, 2],
  [2, 2, 1, 1],
];

/** "chain 4" or "tree 4x2x2". */
export function shapeName(widths: number[]): string {
  const isChain = widths.every((width) => width === 1);
  return isChain ? `chain ${widths.length}` : `tree ${widths.join('x')}`;
}

function drafterOf(model: T5Model, widths: number[]): Drafter {
  const isChain = widths.every((width) => width === 1);
  return isChain ? chain(model, { length: widths.length }) : tree(model, { widths });
}

export interface LosslessOutcome extends LosslessCase {
  sentences: number;
  tokens: number;
  /** Sentences whose tokens differ from the target's own. */
  different: number[];
  acceptanceRate: number;
  blockEfficiency: number;
}

async function greedyTokens(
  target: T5Model,
  texts: string[],
  batch: number,
  draft?: Drafter,
): Promise<{ tokens: number[][]; accepted: number; tested: number; calls: number }> {
  await using session = await createSession({
    target,
    maxBatch: batch,
    ...(draft ? { draft } : {}),
  });
  const results = await session.generate(texts);
  const sum = (pick: (r: (typeof results)[number]) => number): number =>
    results.reduce((total, result) => total + pick(result), 0);
  return {
    tokens: results.map(({ tokens }) => tokens),
    accepted: sum(({ stats }) => stats.accepted),
    tested: sum(({ stats }) => stats.tested),
    calls: sum(({ stats }) => stats.targetCalls),
  };
}

/** Yields one outcome per case; the target decodes alone once, one text at a time. */
export async function* losslessSweep(
  target: T5Model,
  drafter: T5Model,
  texts: string[],
  cases: LosslessCase[],
): AsyncGenerator<LosslessOutcome> {
  const own = await greedyTokens(target, texts, 1);
  const total = own.tokens.reduce((sum, tokens) => sum + tokens.length, 0);
  for (const { widths, batch } of cases) {
    const drafted = await greedyTokens(target, texts, batch, drafterOf(drafter, widths));
    yield {
      widths,
      batch,
      sentences: texts.length,
      tokens: total,
      different: texts.flatMap((_, i) =>
        JSON.stringify(drafted.tokens[i]) === JSON.stringify(own.tokens[i]) ? [] : [i],
      ),
      acceptanceRate: drafted.accepted / drafted.tested,
      blockEfficiency: total / drafted.calls,
    };
  }
}
