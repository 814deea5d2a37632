/**
 * The law of sampled outputs: exact probabilities from teacher-forced logits in double precision,
 * and a chi-square test of what the engine draws.
 */
import {
  chain,
  createSession,
  type Drafter,
  type SamplingOptions,
  type T5Model,
} from '../../lib/index.ts';

export interface LawCase {
  name: string;
  sampling: SamplingOptions;
  /** Tokens generated; the law is the joint one of all of them. */
  length: number;
  /** Outcome cells: tokens are counted by their id modulo this, so that all of them can be filled. */
  cells: number;
  gamma: number;
}

/** Small enough to enumerate, different enough that each part of the arithmetic matters. */
export const lawCases: LawCase[] = [
  { name: 'temperature 1', sampling: { temperature: 1 }, length: 2, cells: 8, gamma: 2 },
  { name: 'temperature 0.5', sampling: { temperature: 0.5 }, length: 2, cells: 8, gamma: 1 },
  { name: 'top-k 40', sampling: { temperature: 2, topK: 40 }, length: 2, cells: 8, gamma: 4 },
  { name: 'top-p 0.8', sampling: { temperature: 2, topP: 0.8 }, length: 2, cells: 8, gamma: 3 },
  {
    name: 'top-k 60, top-p 0.9',
    sampling: { temperature: 3, topK: 60, topP: 0.9 },
    length: 3,
    cells: 3,
    gamma: 3,
  },
];

/** softmax(logits / T), then the k most probable, then the most probable that reach mass p. */
export function distribution(logits: Float32Array, sampling: SamplingOptions): Float64Array {
  const { temperature = 1, topK = 0, topP = 1 } = sampling;
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  let probs = Float64Array.from(logits, (v) => Math.exp((v - max) / temperature));
  const normalise = (): void => {
    const total = probs.reduce((a, b) => a + b, 0);
    probs = probs.map((v) => v / total);
  };
  normalise();
  const order = [...probs.keys()].sort((a, b) => probs[b]! - probs[a]! || a - b);
  if (topK > 0) for (const v of order.slice(topK)) probs[v] = 0;
  normalise();
  let mass = 0;
  for (const v of order) {
    if (mass >= topP) probs[v] = 0;
    mass += probs[v]!;
  }
  normalise();
  return probs;
}

/** P(cell of the output), cells numbered by the tokens' residues; outputs that end early end in 0s. */
export async function exactLaw(
  target: T5Model,
  inputIds: number[],
  { sampling, length, cells }: LawCase,
): Promise<Map<string, number>> {
  const { decoderStartTokenId: start, eosTokenIds } = target.config;
  let open = new Map<string, { tokens: number[]; p: number }>([['', { tokens: [], p: 1 }]]);
  const law = new Map<string, number>();
  const add = (tokens: number[], p: number): void => {
    const key = cellOf(tokens, length, cells);
    law.set(key, (law.get(key) ?? 0) + p);
  };
  for (let position = 0; position < length; position += 1) {
    const next: typeof open = new Map();
    for (const { tokens, p } of open.values()) {
      const { data, shape } = await target.logits([inputIds], [[start, ...tokens]]);
      const row = data.subarray(position * shape[2], (position + 1) * shape[2]);
      distribution(row, sampling).forEach((q, token) => {
        if (q === 0) return;
        const longer = [...tokens, token];
        const ends = eosTokenIds.includes(token) || longer.length === length;
        if (ends) add(longer, p * q);
        else next.set(longer.join(), { tokens: longer, p: p * q });
      });
    }
    open = next;
  }
  return law;
}

function cellOf(tokens: number[], length: number, cells: number): string {
  return Array.from({ length }, (_, i) => (tokens[i] ?? 0) % cells).join();
}

/** Counts of the cells of `draws` outputs of the engine. */
export async function drawnCounts(
  target: T5Model,
  draft: Drafter | undefined,
  inputIds: number[],
  { sampling, length, cells }: LawCase,
  draws: number,
  seed: number,
): Promise<{ counts: Map<string, number>; acceptanceRate: number }> {
  await using session = await createSession({
    target,
    ...(draft ? { draft } : {}),
    maxNewTokens: length,
    maxInputTokens: 64,
    maxBatch: 64,
  });
  const options = { ...sampling, seed, numSamples: draws };
  const results = await session.generate(inputIds, options);
  const counts = new Map<string, number>();
  for (const { tokens } of results) {
    const key = cellOf(tokens, length, cells);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return { counts, acceptanceRate: session.stats().totals.acceptanceRate };
}

/**
 * Chi-square of counts against a law, cells expected fewer than 5 times pooled, as the standard
 * normal deviate of Wilson and Hilferty. Above about 3.7 is a chance of 1 in 10,000.
 */
export function chiSquareDeviate(counts: Map<string, number>, law: Map<string, number>): number {
  const draws = [...counts.values()].reduce((a, b) => a + b, 0);
  let statistic = 0;
  let cells = 0;
  let pooledExpected = 0;
  let pooledCount = 0;
  const take = (expected: number, count: number): void => {
    statistic += (count - expected) ** 2 / expected;
    cells += 1;
  };
  for (const [key, p] of law) {
    const count = counts.get(key) ?? 0;
    if (p * draws >= 5) {
      take(p * draws, count);
    } else {
      pooledExpected += p * draws;
      pooledCount += count;
    }
  }
  const impossible = [...counts.keys()].some((key) => !law.has(key));
  if (impossible) return Infinity;
  if (pooledExpected > 0) take(pooledExpected, pooledCount);
  const k = cells - 1;
  const spread = 2 / (9 * k);
  return (Math.cbrt(statistic / k) - (1 - spread)) / Math.sqrt(spread);
}

export function drafterOf(model: T5Model, gamma: number): Drafter {
  return chain(model, { length: gamma });
}
