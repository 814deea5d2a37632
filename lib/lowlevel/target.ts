/** pi of single positions: what a rule makes of the two models' rows. */
import { native, type NativePlaces } from '../native.ts';
import { checkRule, nativeRule, type RuleInput } from '../rules.ts';
import { checkInteger, checkOneOf, checkOptions } from '../validate.ts';
import {
  checkDevice,
  checkFloats,
  checkLogits,
  checkProbabilities,
  checkRowArray,
  checkScaling,
  type Rows,
  type ScalingOptions,
} from './rows.ts';

export interface TargetOptions extends ScalingOptions {
  /** Number of rows. */
  rows: number;
  /** Numbers per row. */
  vocab: number;
  /** 'cpu' (default, and what 'auto' is) or, for Float32Array rows, 'cuda', 'cuda:N'. */
  device?: string | undefined;
  /**
   * What the rows are: 'logits' (default), or 'probabilities', which stand for the logits log(p)
   * and at temperature 1 are used as they are, without rounding.
   */
  input?: 'logits' | 'probabilities' | undefined;
}

const keys = ['rows', 'vocab', 'temperature', 'topK', 'topP', 'device', 'input'];

/**
 * pi, row by row: the distribution that an emitted token has under `rule` (see rules.ts), given the
 * drafter's and the target's rows at its position. Both [rows, vocab], of one type: Float32Array
 * takes the engine's float arithmetic, Float64Array the same code in double. `drafter` may be null
 * for lossless(), which does not read it. Tokens are drawn from rows after `temperature`, `topK`,
 * `topP`; confidences are read at temperature 1, unfiltered.
 *
 * Errors: ERR_INPUT (shape, type, option; a row without any possible token), ERR_NUMERIC (NaN or
 * infinite logits), ERR_DEVICE.
 */
export function targetDistribution<T extends Rows>(
  rule: RuleInput,
  drafter: T | null,
  target: T,
  options: TargetOptions,
): T {
  checkOptions('options', options, keys);
  const rows = checkInteger('rows', options.rows, 0, 2 ** 31 - 1);
  const vocab = checkInteger('vocab', options.vocab, 1, 2 ** 24);
  const device = checkDevice(options.device);
  const input = checkOneOf('input', options.input ?? 'logits', ['logits', 'probabilities']);
  const checkNumbers = input === 'logits' ? checkLogits : checkProbabilities;
  const nativeForm = nativeRule(checkRule(rule));
  checkNumbers('target', checkRowArray('target', target, rows, vocab), vocab);
  const unread = drafter === null && nativeForm.kind === 'lossless';
  if (!unread) {
    checkNumbers('drafter', checkRowArray('drafter', drafter, rows, vocab, target), vocab);
  }
  const places = {
    rule: nativeForm,
    scaling: checkScaling(options, vocab, input === 'probabilities'),
    vocabulary: vocab,
    drafter,
    target,
  };
  if (device !== null) return targetOnDevice(device, places) as T;
  return native.lowlevel.target(places) as T;
}

/** The same by a GPU's kernels, a row at a time. */
function targetOnDevice(device: number, places: NativePlaces): Float32Array {
  const { vocabulary, scaling } = places;
  const target = checkFloats('target', places.target);
  const drafter = places.drafter === null ? null : checkFloats('drafter', places.drafter);
  const filters = scaling.topK > 0 || scaling.topP < 1;
  const asGiven = scaling.probabilities && scaling.temperature === 1 && !filters;
  const out = new Float32Array(target.length);
  for (let at = 0; at < target.length; at += vocabulary) {
    const rowOf = (rows: Float32Array) => {
      const row = rows.subarray(at, at + vocabulary);
      return scaling.probabilities && !asGiven ? row.map(Math.log) : row;
    };
    const rows = { target: rowOf(target), drafter: drafter && rowOf(drafter) };
    const { pi } = native.lowlevel.devicePosition({
      ...{ ...places, ...rows, device },
      targetUnscaled: asGiven ? rows.target : null,
      drafterUnscaled: asGiven ? rows.drafter : null,
    });
    out.set(pi, at);
  }
  return out;
}
