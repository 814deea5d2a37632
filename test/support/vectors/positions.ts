/** Cases of single rows and positions: softmax, rows, target, target-big. */
import { native } from '../../../lib/native.ts';
import type { NativePlaces, NativeRows, NativeScaling } from '../../../lib/native.ts';
import { laws } from '../laws.ts';
import type { Check } from './check.ts';
import {
  asProbabilities,
  decodeLogits,
  decodeRule,
  rowsOf,
  scaling,
  type Entry,
  type VectorCase,
} from './format.ts';
import { logitsOf, type Gen } from './generator.ts';

/** Logits as the row that tokens are drawn from. */
function scaled(check: Check, logits: ArrayLike<number>, how: NativeScaling): NativeRows {
  const vocabulary = logits.length;
  if (check.device === null) {
    return laws().scale({
      rows: rowsOf(check.precision, logits),
      vocabulary,
      scaling: how,
    });
  }
  return native.lowlevel.devicePosition({
    ...{ device: check.device, rule: decodeRule({ rule: 'lossless' }), scaling: how, vocabulary },
    ...{ target: Float32Array.from(logits), drafter: null },
  }).target;
}

interface UnscaledRows {
  drafterUnscaled?: NativeRows;
  targetUnscaled?: NativeRows;
}

/** pi and deferral alone: acceptance and residuals never leave a GPU. */
function checkOnDevice(
  check: Check,
  places: NativePlaces,
  unscaled: UnscaledRows,
  out: VectorCase['out'],
): ArrayLike<number> {
  const floats = (rows: NativeRows | null) => (rows === null ? null : Float32Array.from(rows));
  const given = places.scaling.probabilities;
  const { pi, deferral } = native.lowlevel.devicePosition({
    ...{ device: check.device!, rule: places.rule, scaling: places.scaling },
    vocabulary: places.vocabulary,
    target: Float32Array.from(places.target),
    drafter: floats(places.drafter),
    targetUnscaled: given ? floats(unscaled.targetUnscaled ?? places.target) : null,
    drafterUnscaled: given ? floats(unscaled.drafterUnscaled ?? places.drafter) : null,
  });
  if (out.delta !== null) check.same('delta', deferral, out.delta);
  return pi;
}

export function checkSoftmax({ in: given, out }: VectorCase, check: Check): void {
  const logits = decodeLogits(given.logits as Entry[], given.valid as number | undefined);
  const topK = (given.topK as number | undefined) ?? 0;
  const topP = (given.topP as number | undefined) ?? 1;
  const rows = scaled(check, logits, scaling(given.T, { topK, topP }));
  check.row('p', rows, out.p as Entry[]);
}

/** The generator itself (its logits always in double), then the softmax of its rows. */
export function checkRows({ in: given, out }: VectorCase, check: Check): void {
  const gen = given.gen as Gen;
  (out.logits as Entry[][]).forEach((expected, model) => {
    const logits = logitsOf(gen, model, given.prefix as number[]);
    expected.forEach((entry, v) => check.near(`logits[${model}][${v}]`, logits[v]!, entry, 1e-9));
    const rows = scaled(check, logits, scaling(given.T));
    check.row(`p[${model}]`, rows, (out.p as Entry[][])[model]!);
  });
}

export function checkTarget({ in: given, out }: VectorCase, check: Check): void {
  const rows = (numbers: number[]) => rowsOf(check.precision, numbers);
  const share = (counts: unknown) =>
    rows((counts as number[]).map((count) => count / (given.den as number)));
  const fromLogits = given.lq !== undefined;
  const places: NativePlaces = {
    rule: decodeRule(given.rule),
    scaling: fromLogits ? scaling(given.T) : asProbabilities,
    vocabulary: ((given.lq ?? given.q) as unknown[]).length,
    drafter: fromLogits ? rows(decodeLogits(given.lq as Entry[])) : share(given.q),
    target: fromLogits ? rows(decodeLogits(given.lp as Entry[])) : share(given.p),
  };
  const unscaled: UnscaledRows =
    given.qu === undefined
      ? {}
      : { drafterUnscaled: share(given.qu), targetUnscaled: share(given.pu) };
  if (check.device !== null) {
    check.row('pi', checkOnDevice(check, places, unscaled, out), out.pi as Entry[]);
    return;
  }
  const law = laws().positionLaw({ ...places, ...unscaled });
  if (out.delta !== null) check.same('delta', law.deferral, out.delta);
  if (out.keep !== null) check.same('keep', law.kept, out.keep);
  check.row('pi', law.pi, out.pi as Entry[]);
  checkAcceptance(check, places, law.accept, out.accept as Entry[]);
  const mass = 1 - (out.rate as number);
  check.residual('residual', law.residual, out.residual as Entry[] | null, mass);
  check.near('rate', law.rate, out.rate as number);
}

/**
 * Below this share of its row's largest entry, a token may be lost to underflow in float, in one
 * row or in both; whether it would be accepted then means nothing.
 */
const neverDrawn = 1e-30;

/** Acceptance of the tokens `at`; null where the drafter cannot draw one. */
function checkAcceptance(
  check: Check,
  { drafter, vocabulary, scaling: scaled }: NativePlaces,
  accept: Float64Array,
  expected: Entry[],
  at: number[] = Array.from(expected.keys()),
): void {
  const exact = { rows: Float64Array.from(drafter!), vocabulary, scaling: scaled };
  const row = Float64Array.from(laws().scale(exact));
  const largest = row.reduce((a, b) => Math.max(a, b), 0);
  at.forEach((v, i) => {
    if (check.precision === 'float' && row[v]! > 0 && row[v]! < largest * neverDrawn) return;
    check.near(`accept[${v}]`, accept[v]!, expected[i]!);
  });
}

function moment(row: Float64Array): number {
  return row.reduce((sum, probability, v) => sum + v * probability, 0) / row.length;
}

export function checkBigTarget({ in: given, out }: VectorCase, check: Check): void {
  const gen = given.gen as Gen;
  const valid = given.valid as number;
  const places: NativePlaces = {
    rule: decodeRule(given.rule),
    scaling: scaling(given.T),
    vocabulary: gen.V,
    drafter: rowsOf(check.precision, logitsOf(gen, 1, [], valid)),
    target: rowsOf(check.precision, logitsOf(gen, 0, [], valid)),
  };
  const at = out.at as number[];
  const pick = (row: ArrayLike<number>): number[] => at.map((v) => row[v]!);
  if (check.device !== null) {
    const pi = checkOnDevice(check, places, {}, out);
    check.row('pi', pick(pi), out.pi as Entry[]);
    check.near('piMoment', moment(Float64Array.from(pi)), out.piMoment as Entry);
    return;
  }
  const law = laws().positionLaw(places);
  if (out.delta !== null) check.same('delta', law.deferral, out.delta);
  if (out.keep !== null) {
    const kept = Array.from(law.kept ?? []).filter((token) => token < valid);
    check.same('keep', kept.slice(0, 40), out.keep);
    check.same('keepCount', kept.length, out.keepCount);
  }
  check.row('pi', pick(law.pi), out.pi as Entry[]);
  checkAcceptance(check, places, law.accept, out.accept as Entry[], at);
  const mass = 1 - (out.rate as number);
  const residual = law.residual && pick(law.residual);
  check.residual('residual', residual, out.residual as Entry[] | null, mass);
  check.near('rate', law.rate, out.rate as number);
  check.near('tv', law.variation, out.tv as number);
  check.near('maxQ', law.largestDrafter, out.maxQ as number);
  check.near('maxP', law.largestTarget, out.maxP as number);
  check.near('piMoment', moment(law.pi), out.piMoment as Entry);
  if (law.residual !== null) {
    const tolerance = check.residualTolerance(mass);
    check.near('residualMoment', moment(law.residual), out.residualMoment as Entry, tolerance);
  }
}
