/** Greedy speculation against the target's own greedy output: the check and its sweep. */
import {
  adaptive,
  chain,
  createSession,
  csDraft,
  dynamicTree,
  maxGram,
  tree,
  type Drafter,
  type SessionOptions,
  type T5Model,
} from '../../lib/index.ts';

export interface LosslessMethod {
  name: string;
  draft: Drafter;
  verifier?: NonNullable<SessionOptions['verifier']>;
}

/** Every way to draft with these models; a cascade takes them in this order. */
export function losslessMethods(first: T5Model, ...smaller: T5Model[]): LosslessMethod[] {
  const all = [first, ...smaller];
  const copies = all.length === 1 ? [[4, 4], [0, 3]] : [[5, 3, 3], [0, 2, 3], [0, 0, 3]]; // prettier-ignore
  const chains = [1, 2, 3, 4, 5, 6, 7, 8].map((length) => ({
    name: `chain ${length}`,
    draft: chain(first, { length }),
  }));
  const models = all.length === 1 ? [[4]] : [[4, 2], [0, 3]]; // prettier-ignore
  return [
    ...chains,
    { name: 'chain 4, token', draft: chain(first, { length: 4 }), verifier: 'token' },
    { name: 'tree 4x2x2', draft: tree(first, { widths: [4, 2, 2] }) },
    { name: 'tree 2x2x1x1', draft: tree(first, { widths: [2, 2, 1, 1] }) },
    {
      name: 'k-seq 3x2',
      draft: tree(first, { widths: [3, 2], replacement: true }),
      verifier: 'k-seq',
    },
    {
      name: 'traversal 2x2x1',
      draft: tree(first, { widths: [2, 2, 1] }),
      verifier: 'traversal',
    },
    { name: 'dynamic tree 12', draft: dynamicTree(first, { nodes: 12 }) },
    { name: 'Max-Gram', draft: maxGram() },
    { name: 'tree of Max-Gram 3x2', draft: tree(maxGram(), { widths: [3, 2] }) },
    { name: `csDraft of ${all.length}`, draft: csDraft(all, { lengths: models, maxGram: false }) },
    {
      name: `csDraft of ${all.length} and Max-Gram`,
      draft: csDraft(all, { lengths: copies }),
    },
    {
      name: `lenient csDraft of ${all.length} and Max-Gram`,
      draft: csDraft(all, { lengths: copies, lenience: 3 }),
    },
    { name: 'adaptive chain', draft: adaptive(chain(first, { length: 4 }), { max: 8 }) },
    { name: 'adaptive csDraft', draft: adaptive(csDraft(all, { lengths: copies })) },
  ];
}

export interface LosslessOutcome {
  method: LosslessMethod;
  batch: number;
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
  method?: LosslessMethod,
): Promise<{ tokens: number[][]; accepted: number; tested: number; calls: number }> {
  await using session = await createSession({
    target,
    maxBatch: batch,
    ...(method ? { draft: method.draft, verifier: method.verifier ?? 'auto' } : {}),
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
  texts: string[],
  methods: LosslessMethod[],
  batches = [1, 16],
): AsyncGenerator<LosslessOutcome> {
  const own = await greedyTokens(target, texts, 1);
  const total = own.tokens.reduce((sum, tokens) => sum + tokens.length, 0);
  for (const batch of batches) {
    for (const method of methods) {
      const drafted = await greedyTokens(target, texts, batch, method);
      yield {
        method,
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
}
