/**
 * The law of sampled outputs: exact probabilities from teacher-forced logits in double precision,
 * and a chi-square test of what the engine draws.
 */
import {
  adaptive,
  chain,
  createSession,
  csDraft,
  dynamicTree,
  lossless,
  maxGram,
  tree,
  type Drafter,
  type Rule,
  type SamplingOptions,
  type SessionOptions,
  type T5Model,
} from '../../lib/index.ts';
import { distribution, twinTarget } from './rule-twin.ts';

export interface LawModels {
  target: T5Model;
  drafter: T5Model;
}

/** What the law is of; it does not depend on how tokens are drafted and verified. */
export interface LawCase {
  sampling: SamplingOptions;
  rule: Rule;
  /** The law is the joint one of the first `length` tokens; more are generated behind them. */
  length: number;
  /** Tokens are counted by their id modulo this, so that all cells can be filled. */
  cells: number;
}

/** How the tokens are drafted and verified. */
export interface Method {
  name: string;
  /** The rules' drafter is `drafter`; a cascade may let the target draft below it, too. */
  draft?: (models: LawModels) => Drafter;
  verifier?: NonNullable<SessionOptions['verifier']>;
  strategy?: NonNullable<SessionOptions['strategy']>;
}

const chainOf = (length: number) => (models: LawModels) => chain(models.drafter, { length });
const treeOf = (widths: number[], replacement: boolean) => (models: LawModels) =>
  tree(models.drafter, { widths, replacement });

export const autoregressive: Method = { name: 'autoregressive' };

/** For every rule. */
export const methods: Method[] = [
  { name: 'chain 3, token', draft: chainOf(3), verifier: 'token' },
  { name: 'chain 3, block', draft: chainOf(3), verifier: 'block' },
  { name: 'tree 3x2, without replacement', draft: treeOf([3, 2], false) },
  { name: 'tree 3x2, with replacement', draft: treeOf([3, 2], true) },
  { name: 'tree 3x2, traversal', draft: treeOf([3, 2], false), verifier: 'traversal' },
  {
    name: 'dynamic tree, 6 fixed candidates',
    draft: ({ drafter }) => dynamicTree(drafter, { nodes: 6, depth: 2 }),
  },
  {
    name: 'csDraft of 2 levels',
    draft: ({ drafter }) => csDraft([drafter], { lengths: [[2, 2], [0, 1]] }), // prettier-ignore
  },
  {
    name: 'csDraft of 3 levels, token',
    draft: ({ drafter, target }) =>
      csDraft([drafter, target], { lengths: [[2, 1, 1], [0, 1, 1], [0, 0, 1]] }), // prettier-ignore
    verifier: 'token',
  },
];

const bigrams = Int32Array.from({ length: 128 }, (_, token) => (token * 5) % 128);

/** With the lossless rule as well. */
export const losslessMethods: Method[] = [
  { name: 'k-seq 3x2', draft: treeOf([3, 2], true), verifier: 'k-seq' },
  { name: 'traversal 2x2x1, with', draft: treeOf([2, 2, 1], true), verifier: 'traversal' },
  { name: 'Max-Gram', draft: () => maxGram({ bigrams }) },
  { name: 'adaptive Max-Gram', draft: () => adaptive(maxGram({ bigrams })) },
  {
    name: 'lenient csDraft',
    draft: ({ drafter, target }) =>
      csDraft([drafter, target], { lengths: [[2, 1], [0, 2]], maxGram: false, lenience: 2 }), // prettier-ignore
  },
];

/** Without speculation: the rule's law, too. */
export const tokenCascade: Method = {
  name: 'token cascade',
  draft: chainOf(3),
  strategy: 'token-cascade',
};

const input = [17, 5, 99, 23, 1];
const extraTokens = 1;
/** Outputs asked for in one call. */
const portion = 20_000;

/** Exact laws over the outputs of two models, each computed once; logits once per prefix. */
export class ExactLaw {
  readonly #models: LawModels;
  readonly #laws = new Map<LawCase, Map<string, number>>();
  readonly #logits = new Map<string, { target: Float32Array; drafter: Float32Array }>();

  constructor(models: LawModels) {
    this.#models = models;
  }

  /** P(cell of the output), cells numbered by residues; outputs that end early end in 0s. */
  async of(one: LawCase): Promise<Map<string, number>> {
    let law = this.#laws.get(one);
    if (law === undefined) {
      law = new Map();
      await this.#extend(one, [], 1, law);
      this.#laws.set(one, law);
    }
    return law;
  }

  async #extend(
    one: LawCase,
    tokens: number[],
    p: number,
    law: Map<string, number>,
  ): Promise<void> {
    const { target, drafter } = await this.#rows(tokens);
    const row = twinTarget(
      one.rule,
      distribution(drafter, one.sampling),
      distribution(target, one.sampling),
      distribution(drafter, {}),
      distribution(target, {}),
    );
    for (const [token, q] of row.entries()) {
      if (q === 0) continue;
      const longer = [...tokens, token];
      const ends = this.#models.target.config.eosTokenIds.includes(token);
      if (ends || longer.length === one.length) {
        const key = cellOf(longer, one);
        law.set(key, (law.get(key) ?? 0) + p * q);
      } else {
        await this.#extend(one, longer, p * q, law);
      }
    }
  }

  async #rows(tokens: number[]): Promise<{ target: Float32Array; drafter: Float32Array }> {
    const key = tokens.join();
    const known = this.#logits.get(key);
    if (known) return known;
    const last = async (model: T5Model): Promise<Float32Array> => {
      const decoder = [model.config.decoderStartTokenId, ...tokens];
      const { data, shape } = await model.logits([input], [decoder]);
      return data.slice(tokens.length * shape[2]);
    };
    const rows = {
      target: await last(this.#models.target),
      drafter: await last(this.#models.drafter),
    };
    this.#logits.set(key, rows);
    return rows;
  }
}

function cellOf(tokens: number[], { length, cells }: LawCase): string {
  return Array.from({ length }, (_, i) => (tokens[i] ?? 0) % cells).join();
}

export interface Drawn {
  counts: Map<string, number>;
  acceptanceRate: number;
  deferralRate: number | null;
}

/** Counts of the cells of `draws` outputs of the engine. */
export async function draw(
  models: LawModels,
  one: LawCase,
  method: Method,
  draws: number,
  seed: number,
): Promise<Drawn> {
  const draft = method.draft?.(models);
  await using session = await createSession({
    target: models.target,
    ...(draft ? { draft } : {}),
    verifier: method.verifier ?? 'auto',
    strategy: method.strategy ?? 'speculative',
    rule: draft ? one.rule : lossless(),
    // A draft never reaches the last token: more tokens make for deeper drafts.
    maxNewTokens: one.length + extraTokens,
    maxInputTokens: 64,
    maxBatch: 64,
  });
  const counts = new Map<string, number>();
  for (let done = 0; done < draws; done += portion) {
    const numSamples = Math.min(portion, draws - done);
    const options = { ...one.sampling, seed: seed + done, numSamples };
    for (const { tokens } of await session.generate(input, options)) {
      const key = cellOf(tokens, one);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  const { acceptanceRate, deferralRate } = session.stats().totals;
  return { counts, acceptanceRate, deferralRate };
}

/**
 * Chi-square of counts against a law, cells expected fewer than 5 times pooled, as the standard
 * normal deviate of Wilson and Hilferty. Above 3.7 is a chance of 1 in 10,000.
 */
export function chiSquareDeviate(counts: Map<string, number>, law: Map<string, number>): number {
  const draws = [...counts.values()].reduce((a, b) => a + b, 0);
  if ([...counts.keys()].some((key) => !law.has(key))) return Infinity;
  let statistic = 0;
  let cells = 0;
  const pooled = { expected: 0, count: 0 };
  const take = (expected: number, count: number): void => {
    statistic += (count - expected) ** 2 / expected;
    cells += 1;
  };
  for (const [key, p] of law) {
    const count = counts.get(key) ?? 0;
    if (p * draws >= 5) {
      take(p * draws, count);
    } else {
      pooled.expected += p * draws;
      pooled.count += count;
    }
  }
  if (pooled.expected > 0) take(pooled.expected, pooled.count);
  const k = cells - 1;
  const spread = 2 / (9 * k);
  return (Math.cbrt(statistic / k) - (1 - spread)) / Math.sqrt(spread);
}
