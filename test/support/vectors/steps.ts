/** Cases of whole steps: chain, block, tree. */
import { native } from '../../../lib/native.ts';
import type { NativePlaces, NativeSiblings, NativeStep } from '../../../lib/native.ts';
import { laws } from '../laws.ts';
import type { Check } from './check.ts';
import { decodeRule, rowsOf, scaling, Unsupported, type Entry, type VectorCase } from './format.ts';
import { concatenate, logitsOf, logitsOfAll, type Gen } from './generator.ts';

/** Numbers per model that an enumeration may hold. */
const maxNumbers = 2 ** 25;

function places(given: VectorCase['in'], check: Check, logits: (model: number) => Float64Array) {
  const gen = given.gen as Gen;
  return {
    rule: decodeRule(given.rule),
    scaling: scaling(given.T),
    vocabulary: gen.V,
    target: rowsOf(check.precision, logits(0)),
    drafter: rowsOf(check.precision, logits(1)),
  } satisfies NativePlaces;
}

interface Shape {
  widths: number[];
  verifier: NativeStep['verifier'];
  siblings: NativeSiblings;
}

/** The law of a step: numbers of tokens, their mean, the first token, and some of its outputs. */
function checkLaw({ in: given, out }: VectorCase, check: Check, shape: Shape): void {
  const gen = given.gen as Gen;
  const levels = shape.widths.length;
  if (gen.V ** (levels + 1) > maxNumbers) {
    throw new Unsupported(`${gen.V}^${levels + 1} sequences are too many to enumerate`);
  }
  const law = laws().stepLaw({
    ...places(given, check, (model) => logitsOfAll(gen, model, levels)),
    ...shape,
    widths: Int32Array.from(shape.widths),
  });
  check.row('len', law.length, out.len as Entry[]);
  check.near(
    'mean',
    law.length.reduce((sum, chance, n) => sum + (n + 1) * chance, 0),
    out.mean as number,
  );
  if (out.first !== undefined) check.row('first', law.first, out.first as Entry[]);
  for (const [tokens, chance] of Object.entries((out.law ?? {}) as Record<string, number>)) {
    const place = tokens
      .split(',')
      .reduce((prefix, token) => prefix * gen.V + 1 + Number(token), 0);
    check.near(`law[${tokens}]`, law.emitted[place]!, chance);
  }
}

interface Trace {
  /** The tokens before each node's rows: prefix 0 is that of the root. */
  prefixes: number[][];
  parents: number[];
  tokens: number[];
  uniforms: number[];
}

function replay(
  given: VectorCase['in'],
  check: Check,
  trace: Trace,
  shape: Omit<Shape, 'widths'>,
): { accepted: number[]; next: number } {
  const gen = given.gen as Gen;
  const rows = (model: number): Float64Array =>
    concatenate(trace.prefixes.map((prefix) => logitsOf(gen, model, prefix)));
  const { accepted, next } = native.lowlevel.verify({
    ...places(given, check, rows),
    ...shape,
    parents: Int32Array.from(trace.parents),
    tokens: Int32Array.from(trace.tokens),
    uniforms: Float64Array.from(trace.uniforms),
    drafterRows: null,
    proposals: null,
    stopTokens: new Int32Array(),
    ...{ seed: 0n, request: 0, position: 0, step: 0 },
  });
  return { accepted: Array.from(accepted), next };
}

interface ChainTrace {
  draft: number[];
  u: number[];
  w: number;
  emit: number[];
}

export function checkChain(one: VectorCase, check: Check): void {
  const { in: given, out } = one;
  const verifier = given.verifier === 'block' ? 'block' : 'chain';
  const shape = { verifier, siblings: 'with' } as const;
  (out.traces as ChainTrace[] | undefined)?.forEach(({ draft, u, w, emit }, i) => {
    const trace = {
      prefixes: [[], ...draft.map((_, n) => draft.slice(0, n + 1))],
      parents: draft.map((_, n) => n - 1),
      tokens: draft,
      uniforms: [...u, w],
    };
    const { accepted, next } = replay(given, check, trace, shape);
    check.same(`traces[${i}]`, [...accepted.map((node) => draft[node]), next], emit);
  });
  checkLaw(one, check, { ...shape, widths: Array<number>(given.gamma as number).fill(1) });
}

interface TreeTrace {
  parents: number[];
  tokens: number[];
  u: number[];
  w: number;
  accepted: number[];
  next: number;
}

export function checkTree(one: VectorCase, check: Check): void {
  const { in: given, out } = one;
  const mode = given.mode as NativeSiblings;
  (out.traces as TreeTrace[] | undefined)?.forEach(({ parents, tokens, u, w, ...expected }, i) => {
    const prefixes: number[][] = [[]];
    parents.forEach((parent, node) => prefixes.push([...prefixes[parent + 1]!, tokens[node]!]));
    const trace = { prefixes, parents, tokens, uniforms: [...u, w] };
    const outcome = replay(given, check, trace, { verifier: 'tree', siblings: mode });
    check.same(`traces[${i}]`, outcome, expected);
  });
  // At temperature 0 the children drawn without replacement are the most probable tokens.
  const siblings = given.T === 0 && mode === 'without' ? 'fixed' : mode;
  checkLaw(one, check, { widths: given.widths as number[], verifier: 'tree', siblings });
}

export function checkBlock({ in: given, out }: VectorCase, check: Check): void {
  const gen = given.gen as Gen;
  const draft = given.draft as number[];
  const prefixes = [[], ...draft.map((_, n) => draft.slice(0, n + 1))];
  const scan = laws().blockScan({
    ...places(given, check, (model) =>
      concatenate(prefixes.map((prefix) => logitsOf(gen, model, prefix))),
    ),
    draft: Int32Array.from(draft),
  });
  check.row('weights', scan.weights, out.weights as Entry[]);
  check.row('h', scan.thresholds, out.h as Entry[], check.thresholdTolerance);
  (out.rows as (Entry[] | null)[]).forEach((expected, accepted) =>
    check.residual(`rows[${accepted}]`, scan.rows[accepted]!, expected, scan.masses[accepted]!),
  );
}
