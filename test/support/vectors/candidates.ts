/** Cases of several candidates at one position: multi, kseq. */
import type { NativeRows, NativeSiblings } from '../../../lib/native.ts';
import { laws } from '../laws.ts';
import type { Check } from './check.ts';
import { rowsOf, type Entry, type VectorCase } from './format.ts';

function share(check: Check, counts: unknown, den: unknown): NativeRows {
  return rowsOf(
    check.precision,
    (counts as number[]).map((count) => count / (den as number)),
  );
}

export function checkMulti({ in: given, out }: VectorCase, check: Check): void {
  const law = laws().candidateLaw({
    vocabulary: (given.q as number[]).length,
    wanted: share(check, given.p, given.den),
    drafter: share(check, given.q, given.den),
    siblings: given.mode as NativeSiblings,
    k: given.k as number,
    candidates: Int32Array.from(given.candidates as number[]),
  });
  // What comes after a certain acceptance is null in the file, and must have no chance here.
  let reached = 1;
  (out.accept as Entry[]).forEach((entry, i) => {
    if (entry === null) check.near(`chance of test ${i}`, reached, 0);
    else check.near(`accept[${i}]`, law.accept[i]!, entry);
    reached *= 1 - law.accept[i]!;
  });
  if (out.residual === null) check.near('chance of the residual', reached, 0);
  else check.row('residual', law.residual, out.residual as Entry[]);
  check.near('rate', law.rate, out.rate as number);
  check.row('steps', law.steps, out.steps as Entry[]);
  check.row('accepted', law.accepted, out.accepted as Entry[]);
  check.row('rejected', law.rejected, out.rejected as Entry[]);
  if (out.bound !== undefined && !Number.isNaN(law.bound)) {
    check.near('bound', law.bound, out.bound as number);
  }
}

export function checkKseq({ in: given, out }: VectorCase, check: Check): void {
  const law = laws().kseqLaw({
    vocabulary: (given.q as number[]).length,
    wanted: share(check, given.p, given.den),
    drafter: share(check, given.q, given.den),
    k: given.k as number,
  });
  check.near('rho', law.rho, out.rho as number);
  check.near('beta', law.beta, out.beta as number);
  check.near('rate', law.rate, out.rate as number);
  check.row('accepted', law.accepted, out.accepted as Entry[]);
  const mass = 1 - (out.rate as number);
  check.residual('residual', law.residual, out.residual as Entry[] | null, mass);
}
