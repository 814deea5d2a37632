/** verify() refuses what it cannot mean, naming the value and its place. */
import { describe, expect, it } from 'vitest';
import { chow, lossless, opt } from '../lib/index.ts';
import { verify, type VerifyOptions } from '../lib/lowlevel.ts';
import { codeOf, messageOf } from './support/vectors/errors.ts';

const ints = (...values: number[]): Int32Array => Int32Array.from(values);
const doubles = (...values: number[]): Float64Array => Float64Array.from(values);

// Two nodes, three tokens.
const good: VerifyOptions = {
  rule: lossless(),
  vocab: 3,
  parents: ints(-1, 0),
  tokens: ints(0, 2),
  targetLogits: new Float32Array(9),
  drafterLogits: new Float32Array(9),
};
const call = (over: object) => () => {
  const options: Record<string, unknown> = { ...good, ...over };
  for (const [key, value] of Object.entries(options)) if (value === undefined) delete options[key];
  return verify(options as unknown as VerifyOptions);
};
const branches = { parents: ints(-1, -1), tokens: ints(0, 1) };
const withNaN = (at: number, value = NaN): Float32Array => {
  const rows = new Float32Array(9);
  rows[at] = value;
  return rows;
};

describe('verify refuses', () => {
  it('nothing that is in order', () => {
    expect(codeOf(call({}))).toBe('none');
    expect(codeOf(call({ ...branches, replacement: true }))).toBe('none');
    expect(codeOf(call({ device: 'auto' }))).toBe('none');
  });

  it.each<[string, object, RegExp]>([
    ['an unknown option', { seeds: 3 }, /seeds/],
    ['an unknown rule', { rule: { rule: 'hope' } }, /rule.*"hope"/],
    ['no vocabulary', { vocab: 0 }, /vocab.*0/],
    ['parents of another type', { parents: [-1, 0] }, /parents.*Int32Array/],
    ['a parent that comes later', { parents: ints(-1, 1) }, /parents\[1\].*before 1.*1$/],
    ['a parent below -1', { parents: ints(-2, 0) }, /parents\[0\].*-2/],
    ['tokens of another type', { tokens: [0, 2] }, /tokens.*Int32Array/],
    ['too few tokens', { tokens: ints(0) }, /tokens.*\(2\).*1/],
    ['a token out of range', { tokens: ints(0, 3) }, /tokens\[1\].*0 to 2.*3/],
    ['a negative token', { tokens: ints(-1, 0) }, /tokens\[0\].*-1/],
    ['too few target rows', { targetLogits: new Float32Array(6) }, /targetLogits.*3 rows of 3.*6/],
    ['logits of another type', { targetLogits: Array(9).fill(0) }, /targetLogits.*Float32Array/],
    ['too few drafter rows', { drafterLogits: new Float32Array(6) }, /drafterLogits.*6/],
    ['rows of two types', { drafterLogits: new Float64Array(9) }, /drafterLogits.*Float32Array/],
    [
      'a rule that reads the drafter without its rows',
      { rule: chow({ alpha: 0.1 }), drafterLogits: undefined, proposals: 'fixed' },
      /drafterLogits.*chow/,
    ],
    ["proposals 'drafter' without its rows", { drafterLogits: undefined }, /drafterLogits.*drawn/],
    [
      'drafterRows without its rows',
      { drafterLogits: undefined, proposals: 'fixed', drafterRows: new Uint8Array(3) },
      /drafterLogits.*drafterRows/,
    ],
    ['drafterRows of another length', { drafterRows: new Uint8Array(2) }, /drafterRows.*3.*2/],
    ['drafterRows of another type', { drafterRows: [1, 1, 1] }, /drafterRows.*Uint8Array/],
    [
      'an absent row that was drawn from',
      { drafterRows: Uint8Array.of(1, 0, 1) },
      /drafterRows\[1\].*node 1.*0/,
    ],
    ['unknown proposals', { proposals: 'target' }, /proposals.*"target"/],
    ['too few proposals', { proposals: new Float32Array(3) }, /proposals.*2 rows of 3.*3/],
    ['proposals of another type', { proposals: new Float64Array(6) }, /proposals.*Float32Array/],
    [
      'proposals that do not sum to 1',
      { proposals: Float32Array.of(1, 0, 0, 0.5, 0, 0) },
      /proposals \(row 1\).*0\.5/,
    ],
    [
      'a negative proposal',
      { proposals: Float32Array.of(1, 0, 0, 1.5, -0.5, 0) },
      /proposals\[3\].*1\.5/,
    ],
    ['replacement that is no boolean', { replacement: 1 }, /replacement.*1/],
    [
      'equal siblings drawn without replacement',
      { parents: ints(-1, -1), tokens: ints(1, 1) },
      /tokens\[1\].*replacement.*1/,
    ],
    ['an unknown verifier', { verifier: 'k-seq' }, /verifier.*"k-seq"/],
    [
      'block verification of branches',
      { ...branches, verifier: 'block' },
      /verifier.*parents\[1\] is -1.*"block"/,
    ],
    ['a temperature below 0', { temperature: -0.5 }, /temperature.*-0\.5/],
    ['a temperature that is not finite', { temperature: Infinity }, /temperature.*Infinity/],
    ['a temperature above float32', { temperature: 1e300 }, /temperature.*1e\+300/],
    ['topK below 0', { topK: -1 }, /topK.*-1/],
    ['topP above 1', { topP: 1.5 }, /topP.*1\.5/],
    ['stop tokens of another type', { stopTokens: [1] }, /stopTokens.*Int32Array/],
    ['a stop token out of range', { stopTokens: ints(0, 7) }, /stopTokens\[1\].*7/],
    ['too few uniforms', { uniforms: doubles(0, 0) }, /uniforms.*3.*2/],
    ['uniforms of another type', { uniforms: [0, 0, 0] }, /uniforms.*Float64Array/],
    ['a uniform of 1', { uniforms: doubles(0, 1, 0) }, /uniforms\[1\].*1/],
    ['a negative uniform', { uniforms: doubles(0, 0, -0.1) }, /uniforms\[2\].*-0\.1/],
    ['a uniform that is NaN', { uniforms: doubles(NaN, 0, 0) }, /uniforms\[0\].*NaN/],
    ['uniforms and a seed', { uniforms: doubles(0, 0, 0), seed: 1 }, /seed.*1/],
    ['a negative seed', { seed: -1 }, /seed.*-1/],
    ['a seed that is no integer', { seed: 0.5 }, /seed.*0\.5/],
    ['a seed beyond 64 bits', { seed: 2n ** 64n }, /seed.*18446744073709551616n/],
    ['a negative request', { request: -1 }, /request.*-1/],
    ['a position that is no integer', { position: 1.5 }, /position.*1\.5/],
    ['a step beyond 32 bits', { step: 2 ** 32 }, /step.*4294967296/],
    ['an unknown device', { device: 'gpu' }, /device.*"gpu"/],
    [
      'a row without a possible token',
      { targetLogits: new Float32Array(9).fill(-Infinity, 3, 6) },
      /targetLogits \(row 1\)/,
    ],
  ])('%s', (_, over, message) => {
    expect(messageOf(call(over))).toMatch(message);
    expect(codeOf(call(over))).toBe('ERR_INPUT');
  });

  it.each<[string, { buffer: ArrayBuffer }]>([
    ['parents', Int32Array.of(-1, 0)],
    ['tokens', Int32Array.of(0, 2)],
    ['targetLogits', new Float32Array(9)],
    ['drafterLogits', new Float32Array(9)],
    ['drafterRows', Uint8Array.of(1, 1, 1)],
    ['proposals', Float32Array.of(1, 0, 0, 0, 0, 1)],
    ['stopTokens', Int32Array.of(1)],
    ['uniforms', Float64Array.of(0, 0, 0)],
  ])('%s whose memory was given away', (name, array) => {
    structuredClone(array.buffer, { transfer: [array.buffer] });
    const detached = new RegExp(
      `^${name}: expected .*, received a detached ${array.constructor.name}$`,
    );
    expect(messageOf(call({ [name]: array }))).toMatch(detached);
    expect(codeOf(call({ [name]: array }))).toBe('ERR_INPUT');
  });

  it('options that are none', () => {
    expect(codeOf(() => verify(null as unknown as VerifyOptions))).toBe('ERR_INPUT');
  });

  it('logits that are not finite, with their place; absent rows are not read', () => {
    const rule = opt({ alpha: 0.1 });
    expect(codeOf(call({ targetLogits: withNaN(4) }))).toBe('ERR_NUMERIC');
    expect(messageOf(call({ targetLogits: withNaN(4) }))).toMatch(
      /targetLogits\[4\] \(row 1, token 1\).*NaN/,
    );
    expect(codeOf(call({ drafterLogits: withNaN(8, Infinity) }))).toBe('ERR_NUMERIC');
    const absent = { rule, drafterLogits: withNaN(8), drafterRows: Uint8Array.of(1, 1, 0) };
    expect(codeOf(call(absent))).toBe('none');
    const proposals = Float32Array.of(1, 0, 0, 0, NaN, 1);
    expect(codeOf(call({ proposals }))).toBe('ERR_NUMERIC');
  });

  it('CUDA, where there is none', () => {
    expect(codeOf(call({ device: 'cuda:999' }))).toBe('ERR_DEVICE');
    expect(codeOf(call({ device: 'gpu' }))).toBe('ERR_INPUT');
  });
});
