/** Plain double-precision twins of the sampling distribution and of every rule: slow and obvious. */
import type { Rule, SamplingOptions } from '../../lib/index.ts';

export type Row = Float64Array;

function normalised(row: Row): Row {
  const total = row.reduce((a, b) => a + b, 0);
  return row.map((v) => v / total);
}

/** softmax(logits / T), then the k most probable, then the most probable that reach mass p. */
export function distribution(logits: ArrayLike<number>, sampling: SamplingOptions): Row {
  const { temperature = 1, topK = 0, topP = 1 } = sampling;
  const max = Math.max(...Array.from(logits));
  let probs = normalised(Float64Array.from(logits, (v) => Math.exp((v - max) / temperature)));
  const order = [...probs.keys()].sort((a, b) => probs[b]! - probs[a]! || a - b);
  if (topK > 0) for (const v of order.slice(topK)) probs[v] = 0;
  probs = normalised(probs);
  let mass = 0;
  for (const v of order) {
    if (mass >= topP) probs[v] = 0;
    mass += probs[v]!;
  }
  return normalised(probs);
}

const largest = (row: Row): number => row.reduce((a, b) => Math.max(a, b), 0);
const entropy = (row: Row): number =>
  row.reduce((sum, v) => (v > 0 ? sum - v * Math.log(v) : sum), 0);
const excess = (a: Row, b: Row): Row => a.map((v, i) => Math.max(0, v - b[i]!));
const total = (row: Row): number => row.reduce((a, b) => a + b, 0);

/** pi of q and p; q0 and p0 are the rows at temperature 1, unfiltered. */
export function twinTarget(rule: Rule, q: Row, p: Row, q0: Row, p0: Row): Row {
  const position = (keep: boolean): Row => (keep ? q : p);
  const tokens = (kept: (v: number) => boolean): Row => {
    const deferred = q.reduce((sum, mass, v) => (kept(v) ? sum : sum + mass), 0);
    return q.map((mass, v) => (kept(v) ? mass : 0) + deferred * p[v]!);
  };
  const variation = total(excess(p, q));
  switch (rule.rule) {
    case 'lossless':
      return p;
    case 'lossy':
      return lossyTwin(q, p, rule.alpha, rule.beta);
    case 'chow':
      return position(
        rule.loss === 'log' ? entropy(q0) <= rule.alpha : largest(q0) >= 1 - rule.alpha,
      );
    case 'diff':
    case 'opt': {
      const slack = rule.alpha * (rule.rule === 'opt' ? variation : 1);
      return position(
        rule.loss === 'log'
          ? entropy(q0) <= entropy(p0) + slack
          : largest(q0) >= largest(p0) - slack,
      );
    }
    case 'tokenV1':
      return tokens((v) => q0[v]! >= largest(p0) - rule.alpha);
    case 'tokenV2':
      return tokens((v) => p0[v]! >= largest(p0) - rule.alpha);
    case 'tokenV3':
      return tokens((v) => p0[v]! >= (1 - rule.alpha) * largest(p0));
    case 'bild':
      return position(q0.reduce((sum, v, i) => sum - v * Math.log(p0[i]!), 0) <= rule.rollback);
  }
}

function lossyTwin(q: Row, p: Row, alpha: number, beta: number | 'matched'): Row {
  const scaled = p.map((v) => v / (1 - alpha));
  const rejected = total(excess(q, scaled));
  let inverse = 1;
  if (beta === 'matched') {
    let low = 0;
    for (let round = 0; round < 100; round += 1) {
      const middle = (low + inverse) / 2;
      if (
        total(
          excess(
            p.map((v) => v * middle),
            q,
          ),
        ) > rejected
      )
        inverse = middle;
      else low = middle;
    }
  } else {
    inverse = 1 / beta;
  }
  const residual = excess(
    p.map((v) => v * inverse),
    q,
  );
  const mass = total(residual);
  const share = mass > 0 ? residual.map((v) => v / mass) : p;
  return q.map((v, i) => Math.min(v, scaled[i]!) + rejected * share[i]!);
}
