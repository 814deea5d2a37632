/** speccascade batch as its users meet it: processes that are killed, and disks that are full. */
import { spawn, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import type { BatchProgress } from '../lib/batch/options.ts';
import { BatchView, clock } from '../lib/cli/batch-progress.ts';
import { Terminal } from '../lib/cli/terminal.ts';
import { captionRecords, jsonl, linesOf, readOutput, writeRecords } from './support/batch.ts';
import { tempFolder } from './support/checkpoint-builder.ts';
import { end, program, root, run, shellProgram, start, type Ended } from './support/cli.ts';
import { killOnce, randomNumbers } from './support/kill.ts';

const model = ['--target', 'models/small', '--no-draft', '--dtype', 'f32'];
const sampled = [...model, '--temperature', '0.8', '--seed', '7', '--max-new-tokens', '16'];
const records = captionRecords(2400);
let folder: string;
let input: string;
let whole: Buffer;
const place = (name: string): string => path.join(folder, name);
const job = (name: string, ...more: string[]): string[] => [
  ...['batch', input, '--output', place(name), ...sampled, ...more],
];
beforeAll(async () => {
  folder = await tempFolder();
  input = await writeRecords(place('in.jsonl'), records);
  const { code, err } = await run(job('whole.jsonl'));
  expect(code, err).toBe(0);
  expect(err).toMatch(/^2400 records \| \d+ tokens in [\d.]+ s \(\d+ tokens\/s\)\n$/);
  whole = await readFile(place('whole.jsonl'));
});

describe('a job', () => {
  it('killed five times and resumed gives the same bytes', async () => {
    const random = randomNumbers(5);
    const again = job('killed.jsonl', '--resume', '--checkpoint-seconds', '0.1');
    let kills = 0;
    // A fast machine may come to the end of the job before the last of them.
    while (kills < 5 && (await killOnce(again, place('killed.jsonl'), random, 40))) kills += 1;
    expect(kills).toBeGreaterThanOrEqual(3);
    const { code, err } = await run(again);
    expect(code, err).toBe(0);
    expect((await readFile(place('killed.jsonl'))).equals(whole)).toBe(true);
  });

  it('interrupted says how to go on', async () => {
    const child = start(job('stopped.jsonl', '--checkpoint-seconds', '0'));
    const ended = end(child);
    while (!(await readFile(place('stopped.jsonl')).catch(() => '')).length) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    child.kill('SIGINT');
    const { code, err } = await ended;
    expect(code).toBe(130);
    expect(err).toMatch(/^\d+ records are in .*stopped.jsonl; --resume goes on\nERR_ABORTED: /);
    expect((await run(job('stopped.jsonl', '--resume'))).code).toBe(0);
    expect((await readFile(place('stopped.jsonl'))).equals(whole)).toBe(true);
  });

  it('interrupted says what its compressed output holds for certain', async () => {
    const output = place('stopped.jsonl.gz');
    const child = start(job('stopped.jsonl.gz', '--checkpoint-seconds', '0'));
    const ended = end(child);
    while (!(await readFile(output).catch(() => '')).length) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    child.kill('SIGINT');
    const { err } = await ended;
    const told = Number(
      /^(\d+) records are in .*stopped.jsonl.gz; --resume goes on\n/.exec(err)?.[1],
    );
    const lines =
      gunzipSync(await readFile(output))
        .toString()
        .split('\n').length - 1;
    expect({ told, whole: told % 256 }).toEqual({ told: lines, whole: 0 });
  });

  it('that cannot go on is not said to', async () => {
    const args = ['batch', '--output', place('other.jsonl'), ...sampled, '--resume', '--quiet'];
    expect((await run(args, jsonl(records.slice(0, 2)))).code).toBe(0);
    const { code, err } = await run(args, jsonl(records.slice(0, 3)));
    const problem = "standard input: goes on after the job's 2 records";
    expect({ code, err }).toEqual({ code: 1, err: `ERR_INPUT: ${problem}\n` });
  });

  it('reads standard input, writes standard output and tells of failures', async () => {
    const some = [...records.slice(0, 3), { id: 'bad' }];
    const args = ['batch', ...sampled, '--counters', '--tokens', '--json'];
    const { code, out, err } = await run(args, jsonl(some));
    expect(code).toBe(1);
    const lines = linesOf(out);
    expect(lines.map(({ id }) => id)).toEqual(['r0', 'r1', 'r2', 'bad']);
    const first = linesOf(whole)[0]!;
    expect(lines[0]).toMatchObject({ ...first, counters: { draftCalls: [] } });
    expect(lines[3]!.error!.code).toBe('ERR_INPUT');
    expect(JSON.parse(err)).toMatchObject({ records: 4, failed: 1, resumed: 0 });
  });

  it('reads and writes compressed files', async () => {
    const packed = path.join(
      await tempFolder({ 'in.jsonl.gz': gzipSync(jsonl(records)) }),
      'in.jsonl.gz',
    );
    const [, , ...rest] = job('out.jsonl.gz', '--quiet');
    expect(await run(['batch', packed, ...rest])).toEqual({ code: 0, out: '', err: '' });
    const unpacked = spawnSync('gunzip', ['-c', place('out.jsonl.gz')]).stdout;
    expect(unpacked.equals(whole)).toBe(true);
  });

  it('dealt into shards gives the lines that paste puts together', async () => {
    const names = ['1', '2', '3'].map((index) => place(`part${index}.jsonl`));
    for (const i of [0, 1, 2]) {
      expect((await run(job(`part${i + 1}.jsonl`, '--shard', `${i + 1}/3`))).code).toBe(0);
    }
    const { stdout } = spawnSync('paste', ['-d', '\n', ...names]);
    expect(stdout.equals(whole)).toBe(true);
  });

  it('ends quietly when its reader has left', async () => {
    const rest = `batch '${input}' ${sampled.join(' ')}`;
    const script = `{ ${shellProgram} ${rest}; echo $? >&2; } | head -1`;
    const child = spawn('sh', ['-c', script], { cwd: root });
    child.stdin.end();
    const { out, err } = await end(child);
    expect(out).toBe(`${String(whole).split('\n', 1)[0]}\n`);
    expect(err).toBe('1\n'); // the exit code alone: not every record was decoded
  });

  it.each([
    [['--shard', '3/2'], '--shard: expected I/N with I from 1 to N, received "3/2"'],
    [['--shard', '0/2'], '--shard: expected I/N with I from 1 to N, received "0/2"'],
    [['--resume'], '--resume needs --output FILE'],
    [['--resume', '--overwrite'], '--resume and --overwrite exclude each other'],
    [['a', 'b'], 'unexpected argument "b"'],
  ])('refuses %j', async (args, message) => {
    const { code, err } = await run(['batch', ...args]);
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(message) as string });
  });
});

/** Runs a script of a shell in which `job` is the job. */
async function shell(script: string, before: readonly string[] = []): Promise<Ended> {
  const command = [...before, 'sh', '-c', script];
  // The loader's own cache is no part of the test.
  const env = { ...process.env, TSX_DISABLE_CACHE: '1' };
  const child = spawn(command[0]!, command.slice(1), { cwd: root, env });
  child.stdin.end();
  return end(child);
}

const quoted = (args: readonly string[]): string => args.map((one) => `'${one}'`).join(' ');

describe('a full disk', () => {
  it('ends a job, which goes on when there is room', async ({ skip }) => {
    const alone = ['unshare', '--map-root-user', '--mount'];
    const disk = path.join(await tempFolder({ disk: null }), 'disk');
    const mount = `mount -t tmpfs -o size=48k speccascade '${disk}'`;
    const tried = await shell(mount, alone).catch((error: unknown) => ({
      code: -1,
      err: String(error),
    }));
    if (tried.code !== 0) {
      console.log(`skipped: no small disk can be mounted here: ${tried.err.trim()}`);
      skip();
    }
    const output = path.join(disk, 'out.jsonl');
    const [, ...rest] = job('disk.jsonl', '--quiet', '--checkpoint-seconds', '0.1', '--resume');
    const command = quoted([
      ...program,
      'batch',
      ...rest.map((one) => (one === place('disk.jsonl') ? output : one)),
    ]);
    const { code, out, err } = await shell(
      `${mount} && ${command}; echo "first $?"; mount -o remount,size=4m '${disk}'
       ${command}; echo "then $?"; cp '${output}' '${place('disk.jsonl')}'`,
      alone,
    );
    expect({ code, out }, err).toEqual({ code: 0, out: 'first 1\nthen 0\n' });
    expect(err).toMatch(/^\d+ records are in .*; --resume goes on\nERR_IO: .*ENOSPC/);
    expect((await readFile(place('disk.jsonl'))).equals(whole)).toBe(true);
  });

  it('or a limit on the size of files does the same', async () => {
    const command = quoted([...program, ...job('limited.jsonl', '--quiet', '--resume')]);
    const limit = 32 * 1024; // sh counts blocks of 512 bytes
    const { out, err } = await shell(
      `(ulimit -f ${limit / 512} && ${command}); echo "first $?"; wc -c < '${place('limited.jsonl')}'
       ${command}; echo "then $?"`,
    );
    const [first, bytes, then] = out.split('\n');
    expect({ first, then }, err).toEqual({ first: 'first 1', then: 'then 0' });
    expect(Number(bytes)).toBe(limit); // a line was torn
    expect(err).toMatch(/ERR_IO: .*EFBIG/);
    expect((await readFile(place('limited.jsonl'))).equals(whole)).toBe(true);
    expect(readOutput(place('limited.jsonl'))).toHaveLength(records.length);
  });
});

describe('progress', () => {
  const progress: BatchProgress = {
    ...{ records: 0, failed: 0, resumed: 0, tokens: 0, tested: 0, accepted: 0 },
    ...{ bytesRead: 0, bytes: 1000 },
  };
  /** What a terminal, or a file, would have seen of standard error. */
  function seen(tty: boolean, states: [number, Partial<BatchProgress>][]): string {
    let text = '';
    const stream = { isTTY: tty, hasColors: () => false, on: () => stream };
    const err = { ...stream, write: (part: string) => (text += part) };
    let now = 0;
    const view = new BatchView(new Terminal(stream as never, err as never), false, () => now);
    for (const [at, state] of states) {
      now = at;
      view.show({ ...progress, ...state });
    }
    return text;
  }

  it('is a line every ten seconds where nothing can be written over', () => {
    const half = { records: 50, tokens: 600, tested: 400, accepted: 300, bytesRead: 500 };
    const text = seen(false, [
      [1, {}],
      [5001, half],
      [12_001, { ...half, failed: 2 }],
      [13_001, half],
    ]);
    expect(text).toBe('50%, 50 records, 2 failed, 50 tokens/s, acceptance 75%, 12 s left\n');
  });

  it('counts from where earlier runs have come to, and knows no end of a stream', () => {
    const before = { records: 1000, resumed: 1000, tokens: 9000, bytes: null };
    const text = seen(false, [
      [1, before],
      [20_001, { ...before, records: 1010, tokens: 9200 }],
    ]);
    expect(text).toBe('1010 records, 10 tokens/s\n');
  });

  it('tells times as people read them', () => {
    expect([0.4, 59.4, 187, 7500].map(clock)).toEqual(['0 s', '59 s', '3:07 min', '2:05 h']);
  });
});
