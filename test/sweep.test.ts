/** speccascade sweep: what methods and inputs may look like, resuming, and the files written. */
import {
  appendFileSync,
  existsSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { bigramFiles, checkMethods, methodOf, parseMethod } from '../lib/cli/method-spec.ts';
import { UsageError } from '../lib/cli/options.ts';
import { readReferenced } from '../lib/cli/references.ts';
import { sweep } from '../lib/cli/sweep.ts';
import { partsOf } from '../lib/cli/sweep-options.ts';
import type { SweepReport } from '../lib/cli/sweep-output.ts';
import { Terminal } from '../lib/cli/terminal.ts';
import { RunLog } from '../lib/evaluate/run-log.ts';
import { SpeccascadeError } from '../lib/index.ts';
import { caught } from './support/caught.ts';
import { tempFolder } from './support/checkpoint-builder.ts';

let folder: string;
beforeAll(async () => {
  folder = await tempFolder();
});

const inFolder = (name: string, content: string): string => {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
};

describe('a method in a line', () => {
  it('is a curve where alpha is a list', () => {
    const curve = parseMethod('tree=4,2 rule=opt alpha=-inf,0.1 draft=small');
    expect(curve.map(({ id }) => id)).toEqual([
      'tree=4,2 rule=opt alpha=-inf draft=small',
      'tree=4,2 rule=opt alpha=0.1 draft=small',
    ]);
    expect(curve.map(({ parameter }) => parameter)).toEqual([-Infinity, 0.1]);
    expect(new Set(curve.map((one) => one.curve))).toEqual(
      new Set(['tree=4,2 rule=opt draft=small']),
    );
  });

  it.each([
    ['', 'received none'],
    ['tree=4,x', 'whole numbers'],
    ['rule=opt', 'needs --alpha'],
    ['rule=opt alpha=0.1,', '--alpha'],
    ['rule=lossy alpha=1', 'below 1'],
    ['depth', 'depth'],
    ['rule=best alpha=1', 'one of lossless'],
    ['alone=small rule=opt alpha=0.1', 'alone=small stands by itself, received rule=opt'],
    ['draft=base alone=small', 'alone=small stands by itself, received draft=base'],
    ['target length=3', 'target stands by itself, received length=3'],
    ['draft=my models/small', "Unknown option '--models/small'"],
  ])('%j is wrong, for a reason', (spec, reason) => {
    expect(() => parseMethod(spec)).toThrow(UsageError);
    expect(() => parseMethod(spec)).toThrow(reason);
  });
});

describe('the models of a method', () => {
  const named = (spec: string): Promise<string[]> => {
    const loaded: string[] = [];
    const models = {
      ...{ target: {} as never, defaultDraft: 'base', defaultBigrams: null },
      load: async (source: string) => {
        loaded.push(source);
        return {} as never;
      },
    };
    return methodOf(parseMethod(spec)[0]!, models).then(
      () => loaded,
      () => loaded, // no drafter takes such models
    );
  };

  it.each([
    ['length=2', ['base']],
    ['draft=a+b lengths=4,0/0,2', ['a', 'b']],
    ['draft=my\\ own/a\\+b+c\\\\d lengths=4,0/0,2', ['my own/a+b', 'c\\d']],
    ['alone=my\\ own/a+b', ['my own/a+b']],
  ])('%s', async (spec, sources) => {
    expect(await named(spec)).toEqual(sources);
  });

  it.each([
    ['max-gram draft=base', 'expected draft=MODEL with 0 models, received base'],
    ['draft=a+b length=3', 'with 1 models, received a+b'],
  ])('%s: as many as needed, or none is loaded', async (spec, message) => {
    await expect(checkMethods(parseMethod(spec), 'base')).rejects.toThrow(message);
    expect(await named(spec)).toEqual([]);
  });

  it('are too many for a table to be read', async () => {
    const checked = checkMethods(parseMethod('lengths=3 bigrams=x'), 'base');
    const message = '--method "lengths=3 bigrams=x": --bigrams is of --lengths with one row more';
    await expect(checked).rejects.toThrow(message);
  });
});

it('the tables of bigrams are those of methods with Max-Gram', () => {
  const specs = ['length=2', 'max-gram', 'max-gram bigrams=own', 'lengths=4,2/0,2', 'lengths=4'];
  const defaults = { defaultDraft: 'base', defaultBigrams: 'usual' };
  const files = (...some: string[]): string[] => [
    ...bigramFiles(some.flatMap(parseMethod), defaults),
  ];
  expect(specs.map((spec) => files(spec))).toEqual([[], ['usual'], ['own'], ['usual'], []]);
  expect(files(...specs)).toEqual(['usual', 'own']);
});

describe('texts with references', () => {
  it('come from two files or from JSON lines, alike', async () => {
    const input = inFolder('a.en', 'One.\r\n\nTwo.\n');
    const references = inFolder('a.de', 'Eins.\n\nZwei.\n');
    const records = inFolder(
      'a.jsonl',
      '{"input":"One.","reference":"Eins."}\n\n{"input":"Two.","references":["Zwei."]}\n',
    );
    const expected = { texts: ['One.', 'Two.'], references: [['Eins.'], ['Zwei.']] };
    expect(await readReferenced(input, references, 9)).toEqual(expected);
    expect(await readReferenced(records, undefined, 9)).toEqual(expected);
    expect((await readReferenced(records, undefined, 1)).texts).toEqual(['One.']);
  });

  it.each([
    ['{"input":"a"}', "line 1: expected a text as 'reference'"],
    [
      '{"input":"a","reference":"b"}\n{"input":"","reference":"b"}',
      "line 2: expected a text as 'input'",
    ],
    ['{"input":"a","references":[]}', "line 1: expected a text as 'reference'"],
    ['[1]', 'line 1: expected a JSON object'],
    ['{"input', 'line 1: expected a JSON object'],
    ['\n', 'at least one text'],
  ])('%j is an error that says where', async (content, reason) => {
    const file = inFolder('bad.jsonl', content);
    const reading = readReferenced(file, undefined, 9);
    await expect(reading).rejects.toThrow(reason);
    await expect(reading).rejects.toMatchObject({ code: 'ERR_INPUT' });
  });

  it('are as many as the texts', async () => {
    const input = inFolder('b.en', 'One.\nTwo.\n');
    const short = readReferenced(input, inFolder('b.de', 'Eins.\n'), 9);
    await expect(short).rejects.toThrow('has, 2, received 1');
    const gap = readReferenced(input, inFolder('c.de', 'Eins.\n\n'), 9);
    await expect(gap).rejects.toThrow('c.de, line 2: expected a text');
    const missing = readReferenced(path.join(folder, 'none'), input, 9);
    await expect(missing).rejects.toMatchObject({ code: 'ERR_IO' });
  });
});

describe('the log of runs', () => {
  const header = { seed: '0', texts: 3 };

  it('is begun anew where the process ended within its header, and by --fresh', async () => {
    const file = inFolder('cut.jsonl', '{"format":"speccas');
    await (await RunLog.open(file, header, false)).addModel('large', 'abc');
    expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(3);
    await RunLog.open(file, header, true);
    expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(2);
  });

  it('refuses other headers, other models, and files of other kinds', async () => {
    const file = path.join(folder, 'log.jsonl');
    const log = await RunLog.open(file, header, false);
    await log.addModel('large', 'abc');
    const other = RunLog.open(file, { ...header, seed: '1' }, false);
    await expect(other).rejects.toThrow('seed was "0" in the runs so far and is now "1"');
    const again = await RunLog.open(file, header, false);
    await expect(again.addModel('large', 'def')).rejects.toThrow('model large was "abc"');
    const alien = inFolder('alien.jsonl', '{"a":1}\n');
    await expect(RunLog.open(alien, header, false)).rejects.toThrow('expected the runs of a sweep');
    appendFileSync(file, 'not JSON\n');
    await expect(RunLog.open(file, header, false)).rejects.toThrow('log.jsonl, line 3');
    await expect(RunLog.open(folder, header, false)).rejects.toMatchObject({ code: 'ERR_IO' });
  });
});

describe('a sweep', () => {
  const small = ['--target', 'base', '--draft', 'small', '--limit', '8', '--quiet'];

  /** What it printed on standard output. */
  async function run(
    argv: string[],
    { signal = new AbortController().signal, parts = 2 } = {},
  ): Promise<string> {
    const out = new PassThrough();
    const err = new PassThrough();
    const terminal = new Terminal(out as never, err as never);
    const all = [...small, '--parts', String(parts), ...argv];
    expect(await sweep.run(all, { terminal, signal })).toBe(0);
    return String(out.read());
  }

  async function report(argv: string[]): Promise<SweepReport> {
    return JSON.parse(await run([...argv, '--json'])) as SweepReport;
  }

  const methods = [
    '--method',
    'length=3',
    '--method',
    'alone=small',
    '--method',
    'rule=opt alpha=0.1,inf',
  ];

  it('writes points, a table and plots, in which the figures agree', async () => {
    const out = path.join(folder, 'whole');
    const table = await run([...methods, '--out', out]);
    const { points } = JSON.parse(
      readFileSync(path.join(out, 'sweep.json'), 'utf8'),
    ) as SweepReport;
    expect(points).toHaveLength(2 * 5);
    const [target, chain, alone] = points;
    expect(target).toMatchObject({ kind: 'target', targetCallsPerToken: 1, bleuChange: null });
    expect(chain).toMatchObject({ kind: 'draft', bleu: target!.bleu, tokens: target!.tokens });
    expect(chain!.targetCallsPerToken).toBeLessThan(1);
    expect(alone).toMatchObject({ kind: 'alone', targetCallsPerToken: 0, draftCallsPerToken: [1] });
    expect(points[4]).toMatchObject({ method: 'rule=opt alpha=inf', parameter: 'Infinity' });
    // The drafter is kept everywhere: its own text, whose tokens are all accepted.
    expect(points[4]).toMatchObject({ bleu: alone!.bleu, chrf: alone!.chrf, acceptanceRate: 1 });
    expect(table).toContain('### Greedy');
    expect(table.split('\n').filter((row) => row.startsWith('| rule=opt alpha='))).toHaveLength(4);
    const rows = readFileSync(path.join(out, 'sweep.csv'), 'utf8').trimEnd().split('\r\n');
    expect(rows).toHaveLength(1 + points.length);
    for (const name of ['calls', 'latency']) {
      expect(readFileSync(path.join(out, `${name}.svg`), 'utf8')).toMatch(/^<svg[^]*<\/svg>\n$/);
    }
  });

  it('goes on where it was interrupted, to the same points', async () => {
    const out = path.join(folder, 'resumed');
    const runs = path.join(out, 'runs.jsonl');
    const whole = await report([...methods, '--out', out]);
    const lines = readFileSync(runs, 'utf8').split('\n');
    // As a process leaves it that ends within its last line.
    truncateSync(runs, statSync(runs).size - lines.at(-2)!.length - lines.at(-3)!.length + 5);
    const resumed = await report([...methods, '--out', out]);
    const exact = ({ points }: SweepReport) =>
      points.map(({ msPerToken: _ms, speedup: _speedup, ...rest }) => rest);
    expect(exact(resumed)).toEqual(exact(whole));
    const kept = lines.length - 4;
    expect(readFileSync(runs, 'utf8').split('\n').slice(0, kept)).toEqual(lines.slice(0, kept));
    const other = run([...methods, '--out', out, '--seed', '5']);
    await expect(other).rejects.toThrow('seed was "0" in the runs so far and is now "5"');
  });

  it('ends by an interruption, with what is finished kept', async () => {
    const out = path.join(folder, 'aborted');
    const runs = path.join(out, 'runs.jsonl');
    const lines = () =>
      existsSync(runs) ? readFileSync(runs, 'utf8').split('\n').slice(0, -1) : [];
    const abort = new AbortController();
    const aborted = caught(run([...methods, '--out', out], { signal: abort.signal }));
    await expect.poll(() => lines().length, { interval: 1 }).toBeGreaterThan(1);
    const reason = new Error('enough');
    abort.abort(reason);
    const error = await aborted; // between two decodings the reason itself
    expect([error, error.cause]).toContain(reason);
    const finished = lines();
    await report([...methods, '--out', out]);
    expect(lines().slice(0, finished.length)).toEqual(finished);
    expect(lines().length).toBeGreaterThan(finished.length);
  });

  it('runs a temperature once that is given twice', async () => {
    const method = ['--method', 'length=2'];
    const out = path.join(folder, 'twice');
    const { points } = await report([...method, '--out', out, '--temperature', '0,0']);
    expect(points).toHaveLength(2);
  });

  it('refuses what no session takes before the first run', async () => {
    const table = path.join(folder, 'short.bigrams');
    writeFileSync(table, new Uint8Array(40));
    const out = path.join(folder, 'refused');
    const method = `max-gram bigrams=${table}`;
    const refused = run(['--method', method, '--out', out]);
    await expect(refused).rejects.toThrow(`method ${JSON.stringify(method)}: bigrams: expected`);
    expect(existsSync(path.join(out, 'runs.jsonl'))).toBe(false);
  });

  it('refuses more parts than texts, and files without references', async () => {
    const parts = run(['--out', path.join(folder, 'none')], { parts: 9 });
    await expect(parts).rejects.toThrow('--parts 9: expected at most one per text');
    expect([2, 5, 9].map((texts) => partsOf({ parts: undefined }, texts))).toEqual([2, 5, 5]);
    await expect(run(['--input', 'a.txt'])).rejects.toThrow('expected --references');
    await expect(run(['--input', 'a.txt'])).rejects.toThrow(UsageError);
    const missing = run(['--method', 'draft=/nowhere length=2', '--out', folder]);
    await expect(missing).rejects.toThrow(SpeccascadeError);
  });
});
