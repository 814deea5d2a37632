/**
 * verify() replays the engine: from a session's seed, and the models' rows alone, the steps of a
 * sampled request come out token by token, with the same counters.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  chain,
  createSession,
  lossless,
  opt,
  tokenV3,
  tree,
  type Drafter,
  type Rule,
  type T5Model,
} from '../lib/index.ts';
import { philox, targetDistribution, verify } from '../lib/lowlevel.ts';
import { loadGolden } from './support/models.ts';

const input = [17, 5, 99, 23, 1];
const maxNewTokens = 24;
const sampling = { temperature: 1.5, topK: 40, topP: 0.95 };

interface Method {
  name: string;
  widths: number[];
  draft: (model: T5Model) => Drafter;
  replacement: boolean;
  verifier: 'auto' | 'token' | 'block';
}

const methods: Method[] = [
  {
    ...{ name: 'chain by token', widths: [1, 1, 1], replacement: false, verifier: 'token' },
    draft: (model) => chain(model, { length: 3 }),
  },
  {
    ...{ name: 'chain as a block', widths: [1, 1, 1], replacement: false, verifier: 'block' },
    draft: (model) => chain(model, { length: 3 }),
  },
  {
    ...{ name: 'tree with replacement', widths: [2, 2], replacement: true, verifier: 'auto' },
    draft: (model) => tree(model, { widths: [2, 2], replacement: true }),
  },
  {
    ...{ name: 'tree without replacement', widths: [3, 1], replacement: false, verifier: 'auto' },
    draft: (model) => tree(model, { widths: [3, 1], replacement: false }),
  },
];
const rules: Rule[] = [lossless(), opt({ alpha: 0.3 }), tokenV3({ alpha: 0.5 })];

describe('a request replayed by verify', () => {
  let target: T5Model;
  let drafter: T5Model;

  beforeAll(async () => {
    target = await loadGolden('relu-tied', { threads: 1 });
    drafter = await loadGolden('gated-untied', { threads: 1 });
  });
  afterAll(async () => {
    await target.dispose();
    await drafter.dispose();
  });

  /** The row after each of `prefixes`, all of them in one teacher-forced pass. */
  async function rowsAfter(model: T5Model, prefixes: number[][]): Promise<Float32Array[]> {
    const { data, shape } = await model.logits(
      prefixes.map(() => input),
      prefixes,
    );
    const [, length, vocab] = shape;
    return prefixes.map((prefix, i) => {
      const at = (i * length + prefix.length - 1) * vocab;
      return data.slice(at, at + vocab);
    });
  }

  const joined = (rows: Float32Array[]): Float32Array =>
    Float32Array.from(rows.flatMap((row) => Array.from(row)));

  /** A draw from a row by inverse CDF: a step without candidates. */
  function drawFrom(logits: Float32Array, uniform: number): number {
    return verify({
      ...{ rule: lossless(), vocab: logits.length, ...sampling },
      ...{ parents: new Int32Array(), tokens: new Int32Array() },
      ...{ targetLogits: logits, drafterLogits: logits, uniforms: Float64Array.of(uniform) },
    }).next;
  }

  /** Siblings: without replacement, tokens drawn before have no weight, after the filters. */
  function drawDistinct(logits: Float32Array, uniforms: number[], replacement: boolean): number[] {
    if (replacement || uniforms.length === 1) {
      return uniforms.map((uniform) => drawFrom(logits, uniform));
    }
    // The filtered row is what is drawn from: its tokens' logits, at the same temperature.
    const one = { rows: 1, vocab: logits.length, ...sampling };
    const filtered = targetDistribution(lossless(), null, logits, one);
    const row = logits.map((logit, v) => (filtered[v]! > 0 ? logit : -Infinity));
    const tokens: number[] = [];
    for (const uniform of uniforms) {
      const { next } = verify({
        ...{ rule: lossless(), vocab: row.length, temperature: sampling.temperature },
        ...{ parents: new Int32Array(), tokens: new Int32Array() },
        ...{ targetLogits: row, drafterLogits: row, uniforms: Float64Array.of(uniform) },
      });
      tokens.push(next);
      row[next] = -Infinity;
    }
    return tokens;
  }

  async function replay(method: Method, rule: Rule, seed: bigint): Promise<number[]> {
    const ends = target.config.eosTokenIds;
    const output: number[] = [];
    const start = target.config.decoderStartTokenId;
    for (let step = 0; output.length < maxNewTokens; step += 1) {
      const committed = [start, ...output];
      const position = output.length;
      const parents: number[] = [];
      const tokens: number[] = [];
      const prefixes = [committed];
      let level = [-1];
      const depths = Math.min(method.widths.length, maxNewTokens - output.length - 1);
      for (let depth = 0; depth < depths; depth += 1) {
        const open = level.filter((node) => node < 0 || !ends.includes(tokens[node]!));
        if (open.length === 0) break;
        const rows = await rowsAfter(
          drafter,
          open.map((node) => prefixes[node + 1]!),
        );
        level = [];
        for (const [i, parent] of open.entries()) {
          const uniforms = Array.from({ length: method.widths[depth]! }, (_, child) => {
            const node = parents.length + child;
            return philox(seed, [0, position + depth, step, 16 * node]).uniforms[0]!;
          });
          for (const token of drawDistinct(rows[i]!, uniforms, method.replacement)) {
            level.push(tokens.length);
            parents.push(parent);
            tokens.push(token);
            prefixes.push([...prefixes[parent + 1]!, token]);
          }
        }
      }
      const { accepted, next } = verify({
        ...{ rule, vocab: target.config.vocabSize, ...sampling },
        ...{ parents: Int32Array.from(parents), tokens: Int32Array.from(tokens) },
        targetLogits: joined(await rowsAfter(target, prefixes)),
        drafterLogits: joined(await rowsAfter(drafter, prefixes)),
        ...{ verifier: method.verifier, replacement: method.replacement },
        ...{ stopTokens: Int32Array.from(ends), seed, position, step },
      });
      output.push(...Array.from(accepted, (node) => tokens[node]!));
      if (next >= 0) output.push(next);
      if (ends.includes(output.at(-1)!)) break;
    }
    return output;
  }

  it.each(methods)('$name', async (method) => {
    await using session = await createSession({
      ...{ target, draft: method.draft(drafter), maxNewTokens, maxInputTokens: 16 },
      ...{ verifier: method.verifier, sampling },
    });
    let rejected = 0;
    for (const [i, rule] of rules.entries()) {
      const seed = 0x1234_5678_9abcn + BigInt(i);
      const { tokens, stats } = await session.generate(input, { rule, seed });
      expect(await replay(method, rule, seed)).toEqual(tokens);
      expect(stats.accepted).toBeGreaterThan(0);
      rejected += stats.tested - stats.accepted;
    }
    expect(rejected).toBeGreaterThan(0);
  });
});
