/**
 * The law of verify() under its own counters: outputs of many steps, each continued by ancestral
 * sampling from pi, against ancestral sampling alone. Candidates are drawn here, by another
 * generator.
 */
import { describe, expect, it } from 'vitest';
import { chow, lossless, lossy, opt, tokenV3, type Rule } from '../lib/index.ts';
import { targetDistribution, verify, type VerifyOptions } from '../lib/lowlevel.ts';
import { chiSquareDeviate } from './support/law.ts';
import { concatenate, logitsOf, type Gen } from './support/vectors/generator.ts';

const draws = 4000;
/** A chance of about 1 in 10,000 per case; the seeds are fixed. */
const limit = 3.7;
const gen: Gen = { seed: 31, V: 3, sp: 2, sn: [2] };
const levels = 2;

type Draw = () => number;

/** Mulberry32. */
function generator(seed: number): Draw {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function pick(row: ArrayLike<number>, draw: Draw): number {
  const weights = Array.from(row);
  let left = draw() * weights.reduce((a, b) => a + b, 0);
  const found = weights.findIndex((weight) => (left -= weight) < 0);
  return found < 0 ? weights.length - 1 : found;
}

type Siblings = 'with' | 'without' | 'fixed';

interface Method {
  name: string;
  widths: number[];
  siblings: Siblings;
  options: Partial<VerifyOptions>;
}

const methods: Method[] = [
  { name: 'chain, token', widths: [1, 1], siblings: 'with', options: { verifier: 'token' } },
  { name: 'chain, block', widths: [1, 1], siblings: 'with', options: { verifier: 'block' } },
  { name: 'tree, with', widths: [3, 2], siblings: 'with', options: { replacement: true } },
  { name: 'tree, without', widths: [2, 2], siblings: 'without', options: {} },
  { name: 'traversal', widths: [2, 2], siblings: 'without', options: { verifier: 'traversal' } },
  { name: 'tree, fixed', widths: [2, 1], siblings: 'fixed', options: { proposals: 'fixed' } },
  { name: 'chain, fixed', widths: [1, 1], siblings: 'fixed', options: { proposals: 'fixed' } },
];
const rules: [string, Rule][] = [
  ['lossless', lossless()],
  ['lossy', lossy({ alpha: 0.4 })],
  ['chow', chow({ alpha: 0.4 })],
  ['opt', opt({ alpha: 0.5 })],
  ['tokenV3', tokenV3({ alpha: 0.5 })],
];

/** Rows are functions of the prefix, remembered. */
function remembered<T>(make: (prefix: number[]) => T): (prefix: number[]) => T {
  const known = new Map<string, T>();
  return (prefix) => {
    const key = prefix.join();
    const row = known.get(key) ?? make(prefix);
    known.set(key, row);
    return row;
  };
}

const logits = [0, 1].map((model) => remembered((prefix) => logitsOf(gen, model, prefix)));
const one = { rows: 1, vocab: gen.V };
const drafterRow = remembered((prefix) =>
  targetDistribution(lossless(), null, logits[1]!(prefix), one),
);

function children(prefix: number[], width: number, siblings: Siblings, draw: Draw): number[] {
  const row = Float64Array.from(drafterRow(prefix));
  const tokens: number[] = [];
  while (tokens.length < width) {
    const best = row.indexOf(row.reduce((a, b) => Math.max(a, b)));
    const token = siblings === 'fixed' ? best : pick(row, draw);
    tokens.push(token);
    if (siblings !== 'with') row[token] = 0;
  }
  return tokens;
}

function draftTree({ widths, siblings }: Method, draw: Draw) {
  const parents: number[] = [];
  const prefixes: number[][] = [[]];
  let level = [-1];
  for (const width of widths) {
    const next: number[] = [];
    for (const parent of level) {
      for (const token of children(prefixes[parent + 1]!, width, siblings, draw)) {
        next.push(parents.length);
        parents.push(parent);
        prefixes.push([...prefixes[parent + 1]!, token]);
      }
    }
    level = next;
  }
  return { parents, prefixes, tokens: prefixes.slice(1).map((prefix) => prefix.at(-1)!) };
}

describe.each(rules)('the law of verify with %s', (_, rule) => {
  const wanted = remembered((prefix) =>
    targetDistribution(rule, logits[1]!(prefix), logits[0]!(prefix), one),
  );

  function exactLaw(): Map<string, number> {
    let law = new Map<string, number>([['', 1]]);
    for (let level = 0; level <= levels; level += 1) {
      const longer = new Map<string, number>();
      for (const [key, chance] of law) {
        const prefix = key === '' ? [] : key.split(',').map(Number);
        wanted(prefix).forEach((p, v) => {
          if (p > 0) longer.set([...prefix, v].join(), chance * p);
        });
      }
      law = longer;
    }
    return law;
  }

  it.each(methods)('$name', (method) => {
    const draw = generator(20);
    const counts = new Map<string, number>();
    let accepted = 0;
    for (let i = 0; i < draws; i += 1) {
      const { parents, prefixes, tokens } = draftTree(method, draw);
      const rows = (model: number) => concatenate(prefixes.map(logits[model]!));
      const step = verify({
        ...{ rule, vocab: gen.V, ...method.options, seed: 1, request: i },
        ...{ parents: Int32Array.from(parents), tokens: Int32Array.from(tokens) },
        ...{ targetLogits: Float32Array.from(rows(0)), drafterLogits: Float32Array.from(rows(1)) },
      });
      const output = [...Array.from(step.accepted, (node) => tokens[node]!), step.next];
      while (output.length <= levels) output.push(pick(wanted(output), draw));
      counts.set(output.join(), (counts.get(output.join()) ?? 0) + 1);
      accepted += step.accepted.length;
    }
    expect(accepted).toBeGreaterThan(draws / 4);
    expect(chiSquareDeviate(counts, exactLaw())).toBeLessThan(limit);
  });
});
