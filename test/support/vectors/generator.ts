/** Rows of the models of a `gen`: the input of many cases, by the formula of test/vectors/README.md. */

export interface Gen {
  seed: number;
  V: number;
  sp: number;
  sn: number[];
  /** [v, a, b]: adds a to the target's and b to the drafters' logit v. */
  bumps?: [number, number, number][];
}

function mix(x: number): number {
  x ^= x >>> 16;
  x = Math.imul(x, 0x7feb352d);
  x ^= x >>> 15;
  x = Math.imul(x, 0x846ca68b);
  x ^= x >>> 16;
  return x >>> 0;
}

/** In [0, 1): the number of stream `stream` at place `i`. */
function uniform(seed: number, stream: number, i: number): number {
  const sum =
    Math.imul(i, 0x9e3779b1) + Math.imul(seed, 0x85ebca77) + Math.imul(stream, 0xc2b2ae3d);
  return mix(sum | 0) / 2 ** 32;
}

function bell(seed: number, model: number, i: number): number {
  const first = uniform(seed, 3 * model + 1, i) + uniform(seed, 3 * model + 2, i);
  return first + uniform(seed, 3 * model + 3, i) - 1.5;
}

/** The number of a prefix, 32 bits. */
export function prefixCode(prefix: readonly number[], vocab: number): number {
  return prefix.reduce((code, token) => (Math.imul(code, vocab + 1) + token + 1) >>> 0, 1);
}

/** Logits of model 0 (the target) or 1, 2, ... (drafters) after `prefix`; none from `valid` on. */
export function logitsOf(
  gen: Gen,
  model: number,
  prefix: readonly number[],
  valid = gen.V,
): Float64Array {
  const first = Math.imul(prefixCode(prefix, gen.V), gen.V);
  const logits = new Float64Array(gen.V);
  for (let v = 0; v < gen.V; v += 1) {
    const i = (first + v) >>> 0;
    const noise = model > 0 ? gen.sn[model - 1]! * bell(gen.seed, model, i) : 0;
    logits[v] = v < valid ? gen.sp * bell(gen.seed, 0, i) + noise : -Infinity;
  }
  for (const [v, target, drafter] of gen.bumps ?? []) logits[v]! += model > 0 ? drafter : target;
  return logits;
}

/** The logits after each prefix of at most `levels` tokens, numbered level by level. */
export function logitsOfAll(gen: Gen, model: number, levels: number): Float64Array {
  let level: number[][] = [[]];
  const rows: Float64Array[] = [];
  for (let depth = 0; depth <= levels; depth += 1) {
    for (const prefix of level) rows.push(logitsOf(gen, model, prefix));
    if (depth === levels) break;
    level = level.flatMap((prefix) => Array.from({ length: gen.V }, (_, v) => [...prefix, v]));
  }
  return concatenate(rows);
}

export function concatenate(rows: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(rows.reduce((count, row) => count + row.length, 0));
  let at = 0;
  for (const row of rows) {
    all.set(row, at);
    at += row.length;
  }
  return all;
}
