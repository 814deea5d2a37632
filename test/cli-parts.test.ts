/** The parts of the command line that need no process: options, lines, order, marks, views. */
import { describe, expect, it } from 'vitest';
import { benchTable } from '../lib/cli/bench-table.ts';
import { inOrder } from '../lib/batch/in-order.ts';
import { Decoder } from '../lib/cli/decode.ts';
import { spread } from '../lib/evaluate/spread.ts';
import {
  flag,
  integer,
  integers,
  number,
  readOptions,
  seed,
  text,
  texts,
  UsageError,
} from '../lib/cli/options.ts';
import { bytes, share } from '../lib/cli/progress.ts';
import { Statistics } from '../lib/cli/statistics.ts';
import { printable } from '../lib/cli/terminal.ts';
import { legend, MarkedText, markedText } from '../lib/cli/trace.ts';
import { json, jsonLines, plainLine } from '../lib/cli/views.ts';
import { SpeccascadeError, Tokenizer, type ErrorCode, type Result } from '../lib/index.ts';
import { bundledFolder } from './support/models.ts';

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe('options', () => {
  const table = {
    count: integer({ value: 'N', help: '', default: 3, min: 0, max: 10 }),
    list: integers({ value: 'N,N', help: '', default: [1, 2], min: 1, max: 9 }),
    share: number({ value: 'X', help: '', min: 0, max: 1, aboveMin: true }),
    seed: seed({ value: 'SEED', help: '' }),
    kind: text({ value: 'KIND', help: '', choices: ['a', 'b'] }),
    many: texts({ value: 'X', help: '' }),
    on: flag(''),
  };

  it('have their defaults', () => {
    const { values, positionals } = readOptions(table, ['x', 'y']);
    expect(positionals).toEqual(['x', 'y']);
    expect(values).toEqual({
      ...{ count: 3, list: [1, 2], share: undefined, seed: undefined },
      ...{ kind: undefined, many: [], on: false },
    });
  });

  it('are read in all forms', () => {
    const argv = '--count=5 --list 3,1 --share 1e-1 --kind b --on --many x --many=-y';
    const { values } = readOptions(table, [...argv.split(' '), '--seed', '18446744073709551615']);
    expect(values).toEqual({
      ...{ count: 5, list: [3, 1], share: 0.1, seed: 2n ** 64n - 1n },
      ...{ kind: 'b', many: ['x', '-y'], on: true },
    });
  });

  it.each([
    ['--count=', '--count: expected an integer from 0 to 10, received ""'],
    ['--count=1.5', '--count: expected an integer'],
    ['--count=11', '--count: expected an integer'],
    ['--count=0x1', '--count: expected an integer'],
    ['--list=1,,2', '--list: expected an integer'],
    ['--share=0', '--share: expected a number above 0, at most 1'],
    ['--share=NaN', '--share: expected a number'],
    ['--share=Infinity', '--share: expected a number'],
    ['--share= ', '--share: expected a number'],
    ['--seed=-1', '--seed: expected an integer from 0 to 2^64 - 1'],
    ['--seed=18446744073709551616', '--seed: expected an integer'],
    ['--kind=c', '--kind: expected one of a, b, received "c"'],
    ['--on=yes', "Option '--on' does not take an argument"],
    ['--off', "Unknown option '--off'"],
    ['--kind', "'--kind <value>' argument missing"],
  ])('%s is refused', (argument, message) => {
    expect(() => readOptions(table, [argument])).toThrow(UsageError);
    expect(() => readOptions(table, [argument])).toThrow(message);
  });

  it('with one value are refused where there are two', () => {
    const twice = ['--count', '4', '--count=5'];
    expect(() => readOptions(table, twice)).toThrow(UsageError);
    expect(() => readOptions(table, twice)).toThrow('--count: expected once, received 2 times');
  });
});

describe('inOrder', () => {
  async function* count(upTo: number): AsyncGenerator<number> {
    for (let i = 0; i < upTo; i++) yield i;
  }
  const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  it('keeps the order and the limit', async () => {
    let running = 0;
    let most = 0;
    const work = async (item: number): Promise<number> => {
      most = Math.max(most, ++running);
      await later((item * 7) % 5);
      running -= 1;
      return item;
    };
    const results = await collect(inOrder(count(40), 4, work));
    expect(results).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(most).toBe(4);
  });

  it('gives a result while the next item is still to come', async () => {
    async function* slow(): AsyncGenerator<number> {
      yield 1;
      await new Promise(() => {});
    }
    const results = inOrder(slow(), 4, async (item) => item);
    expect(await results.next()).toEqual({ value: 1, done: false });
    await results.return(); // and leaving does not wait for the item either
  });

  it('ends with the error of an item, after the results before it', async () => {
    const results = inOrder(count(3), 4, async (item) => {
      if (item === 1) throw new Error('one');
      return item;
    });
    expect(await results.next()).toEqual({ value: 0, done: false });
    await expect(results.next()).rejects.toThrow('one');
  });
});

describe('Decoder', () => {
  const failing = (code: ErrorCode): Decoder => {
    const generate = async (): Promise<never> => {
      throw new SpeccascadeError(code, 'so it is');
    };
    return new Decoder({
      ...{ session: { generate } as never, tokenizer: null, prefix: '', seed: 1n, samples: 1 },
      ...{ statistics: new Statistics(), signal: new AbortController().signal },
      ...{ steps: false, logprobs: false },
    });
  };
  const line = { number: 1, text: '5 6 1', broken: false, kind: 'line' } as const;

  it('goes on after the failure of a line', async () => {
    for (const code of ['ERR_INPUT', 'ERR_NUMERIC'] as const) {
      expect(await failing(code).decode(line)).toMatchObject({ line, error: { code } });
    }
  });

  it('ends with that of the session', async () => {
    for (const code of ['ERR_DEVICE', 'ERR_OUT_OF_MEMORY', 'ERR_CLOSED'] as const) {
      await expect(failing(code).decode(line)).rejects.toMatchObject({ code });
    }
  });
});

describe('marks', async () => {
  const tokenizer = (await Tokenizer.load(bundledFolder('large')))!;
  const sentence = 'Ein Mann mit Hut.';
  const tokens = tokenizer.encode(sentence);
  const steps = [
    { tokens: tokens.slice(0, 3), accepted: 2 },
    { tokens: tokens.slice(3), accepted: tokens.length - 3 },
  ];

  it('stand around accepted drafts, not around the space before them', () => {
    const text = markedText(tokenizer, steps, 'brackets');
    expect(text.replace(/[[\]]/g, '')).toBe(sentence);
    expect(text).toMatch(/^\[Ein Mann\] mit \[Hut\.\]$/);
  });

  it('are colours for a terminal', () => {
    const text = new MarkedText(tokenizer, 'colours');
    expect(text.push(steps[0]!)).toBe('\x1b[32mEin Mann\x1b[39m mit');
  });

  it('can be left out, and the text is the same', () => {
    expect(markedText(tokenizer, steps, 'none')).toBe(sentence);
  });

  it('stand around ids where there is no text', () => {
    const ids = [
      { tokens: [5, 6, 7], accepted: 2 },
      { tokens: [8], accepted: 0 },
    ];
    expect(markedText(null, ids, 'brackets')).toBe('[5 6] 7 8');
  });

  it('are explained', () => {
    expect(legend('brackets', 'base', false)).toContain('[drafted by base and accepted]');
    expect(legend('colours', 'base', true)).toContain('\x1b[32mgreen\x1b[39m');
    expect(legend('colours', null, true)).toContain('no drafter');
  });
});

describe('views', () => {
  const stats = {
    ...{ targetCalls: 2, draftCalls: [6], proposed: 6, tested: 5, accepted: 4 },
    ...{
      acceptanceRate: 0.8,
      blockEfficiency: 3,
      deferralRate: null,
      encodeMs: 1,
      decodeMs: 2,
    },
  };
  const result: Result = {
    ...{ text: 'a\nb', tokens: [1, 2, 3, 4, 5, 6], finishReason: 'eos', seed: 2n ** 63n },
    logprobs: Float32Array.of(-0.5),
    stats,
  };
  const line = { number: 7, text: 'in', broken: false, kind: 'line' } as const;

  it('write JSON that holds everything', () => {
    const parsed: unknown = JSON.parse(jsonLines({ line, outputs: [{ result, steps: null }] }));
    expect(parsed).toEqual({
      ...{ line: 7, sample: 0, input: 'in', text: 'a\nb', tokens: [1, 2, 3, 4, 5, 6] },
      ...{ finishReason: 'eos', seed: '9223372036854775808', logprobs: [-0.5], stats },
    });
    expect(json({ at: 1 })).toBe('{"at":1}\n');
  });

  it('write failed and empty lines as JSON too', () => {
    const error = new SpeccascadeError('ERR_INPUT', 'too long');
    expect(JSON.parse(jsonLines({ line, error }))).toEqual({
      ...{ line: 7, input: 'in', error: { code: 'ERR_INPUT', message: 'too long' } },
    });
    expect(JSON.parse(jsonLines({ line, empty: true }))).toMatchObject({ line: 7, empty: true });
  });

  it('keep one output on one line, and control characters off the terminal', () => {
    expect(plainLine('a\r\nb\nc\rd')).toBe('a b c d');
    expect(printable('a\x1b[31mb\tc\n\x9b')).toBe('a\uFFFD[31mb\tc\n\uFFFD');
  });

  it('sum up a run', async () => {
    const statistics = new Statistics();
    await statistics.timed(async () => statistics.add(result));
    const text = statistics.line(true);
    expect(text).toMatch(/^1 output, 6 tokens in \d+\.\d\d s \(\d+ tokens\/s\)/);
    expect(text).toContain('0.33 target calls per token | acceptance 80.0%');
    expect(text).toContain('block efficiency 3.00 | 6 drafter calls');
    expect(new Statistics().line(false)).not.toContain('NaN');
  });

  it('show sizes', () => {
    expect([0, 999, 1000, 12_345_678].map(bytes)).toEqual(['0 B', '999 B', '1.00 kB', '12.3 MB']);
    expect(share('m', 5e6, 2e7)).toBe('m: 5.00 MB of 20.0 MB, 25%');
    expect(share('m', 5, 0)).toBe('m: 5 B of 0 B');
  });
});

describe('bench table', () => {
  const row = {
    ...({
      method: 'chain',
      length: 3,
      batch: 1,
      againstFixed: null,
      acceptanceRate: 0.8,
      blockEfficiency: 2.5,
    } as const),
    ...{ tokensPerSecond: spread([900, 1000, 1300]), speedup: spread([1.2, 1.4]) },
    ...{ targetCallsPerToken: 0.4, draftCallsPerToken: 1.1, different: 0 },
  };
  const report = {
    machine: { cpu: 'CPU', cores: 2, threads: 1, platform: 'linux-x64', node: 'v20' },
    models: { target: 'large', draft: 'base', device: 'cpu', dtype: 'f32' },
    ...{ texts: 2, tokens: 20, prefix: '', repeats: 3, excluded: ['loading'] },
    ...{ greedyOutputsEqual: true, rows: [row] },
  };

  it('shows medians, extremes and what was not timed', () => {
    const table = benchTable(report);
    expect(table).toMatch(/1 {2}chain of 3 +1000 +1\.30x +\(1\.20-1\.40\) +80\.0% +2\.50/);
    expect(table).toContain("gave the target's own tokens");
    expect(table).toContain('Not timed: loading.');
  });

  it('does not hide outputs that differ', () => {
    const rows = [{ ...row, different: 1 }];
    const table = benchTable({ ...report, greedyOutputsEqual: false, rows });
    expect(table).toContain('DIFFER');
    expect(table).toContain('chain of 3 at batch 1: 1 of 2 texts');
  });
});
