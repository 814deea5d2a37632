/** Greedy speculation against the target's own greedy output: the check and its sweep. */
import { chain, createSession, type T5Model } from '../../lib/index.ts';

export interface LosslessCase {
  gamma: number;
  batch: number;
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
  draft?: { model: T5Model; gamma: number },
): Promise<{ tokens: number[][]; accepted: number; tested: number; calls: number }> {
  await using session = await createSession({
    target,
    maxBatch: batch,
    ...(draft ? { draft: chain(draft.model, { length: draft.gamma }) } : {}),
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
  for (const { gamma, batch } of cases) {
    const drafted = await greedyTokens(target, texts, batch, { model: drafter, gamma });
    yield {
      gamma,
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
