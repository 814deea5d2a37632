/** Cases of cascade drafting: nested (one step's law), csd (greedy outputs). */
import { laws, type Cascade } from '../laws.ts';
import type { Check } from './check.ts';
import { decodeRule, rowsOf, scaling, type Entry, type VectorCase } from './format.ts';
import { logitsOf, type Gen } from './generator.ts';

function cascade(given: VectorCase['in'], check: Check): Cascade {
  const gen = given.gen as Gen;
  const drafts = (given.drafts as (number | 'mag')[]).map((name) => (name === 'mag' ? -1 : name));
  return {
    float: check.precision === 'float',
    rule: decodeRule({ rule: 'lossless' }),
    leniency: decodeRule(given.midRule ?? { rule: 'lossless' }),
    scaling: scaling(given.T ?? 0),
    vocabulary: gen.V,
    drafts: Int32Array.from(drafts),
    lengths: Int32Array.from((given.lengths as number[][]).flat()),
    logits: (model, prefix) => rowsOf(check.precision, logitsOf(gen, model, Array.from(prefix))),
    copy: null,
    input: Int32Array.from((given.input ?? []) as number[]),
    start: (given.start as number | undefined) ?? 0,
  };
}

/** Expected calls by name: "0" is the target, "mag" the copy model. */
function checkCalls(
  check: Check,
  { in: given, out }: VectorCase,
  target: number,
  calls: ArrayLike<number>,
): void {
  const expected = out.calls as Record<string, number>;
  check.near('calls[0]', target, expected['0']!);
  (given.drafts as (number | 'mag')[]).forEach((name, i) =>
    check.near(`calls[${name}]`, calls[i]!, expected[name] ?? 0),
  );
}

/** The copy model of these cases: two tokens made from the sum of all before them. */
function sumCopy(vocab: number, { a, b }: { a: number; b: number }) {
  return (prefix: Int32Array): Int32Array => {
    const sum = prefix.reduce((total, token) => total + token, 0);
    return Int32Array.of((sum + a) % vocab, (2 * sum + b) % vocab);
  };
}

export function checkNested(one: VectorCase, check: Check): void {
  const { in: given, out } = one;
  const copy = sumCopy((given.gen as Gen).V, given.copy as { a: number; b: number });
  const law = laws().cascadeLaw({ ...cascade(given, check), copy });
  const expected = out.len as Entry[];
  const longest = Math.max(expected.length, law.length.length);
  for (let n = 0; n < longest; n += 1) {
    check.near(`len[${n}]`, law.length[n] ?? 0, expected[n] ?? 0);
  }
  const mean = law.length.reduce((sum, chance, n) => sum + (n + 1) * chance, 0);
  check.near('mean', mean, out.mean as number);
  checkCalls(check, one, 1, law.calls);
}

export function checkCascade(one: VectorCase, check: Check): void {
  const { in: given, out } = one;
  const count = given.tokens as number;
  const { tokens, steps, calls } = laws().cascadeGreedy({
    ...cascade({ ...given, T: 0 }, check),
    count,
  });
  check.same('output', tokens, out.output);
  check.same('steps', steps, out.steps);
  checkCalls(check, one, steps.length, calls);
}
