/** The command line as its users meet it: a process, its output and its exit code. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { chain, createSession } from '../lib/index.ts';
import { tempFolder } from './support/checkpoint-builder.ts';
import { id as hubId, isolateHub, startHub } from './support/checkpoint-hub.ts';
import { end, root, run, shellProgram, start } from './support/cli.ts';
import { goldenFolder } from './support/golden-files.ts';
import { bundledFolder, captions, loadBundled, prefix } from './support/models.ts';

const captionsFile = path.join(root, 'examples', 'captions', 'test_2016.en');

/** Waits for output that matches; the data handlers of end() may be there already. */
function seen(stream: NodeJS.ReadableStream, pattern: RegExp): Promise<void> {
  let text = '';
  return new Promise((resolve) => {
    stream.on('data', (chunk: string | Buffer) => {
      text += String(chunk);
      if (pattern.test(text)) resolve();
    });
  });
}

interface JsonLine {
  [key: string]: unknown;
  line: number;
  text: string;
  tokens: number[];
  seed: string;
  logprobs: number[];
  stats: { accepted: number; targetCalls: number };
  steps: { tokens: number[]; accepted: number }[];
}

async function jsonOf(args: readonly string[], input = ''): Promise<JsonLine[]> {
  const { code, out, err } = await run(['generate', '--json', ...args], input);
  expect(code, err).toBe(0);
  return out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as JsonLine);
}

const texts = captions(3).map((text) => text.slice(prefix.length));

describe('usage', () => {
  it('explains itself', async () => {
    const { code, out, err } = await run(['--help']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const name of ['generate', 'bench', 'info', 'download']) expect(out).toContain(name);
    expect(out).toContain('130 interrupted, 143 terminated (SIGTERM)');
  });

  it.each([
    ['generate', ['--temperature T', '--draft MODEL', '--length N', '(default: 4;']],
    ['bench', ['--repeats N', '--batch N,N,...', '(default: 1,16)']],
    ['info', ['--json', '--device DEVICE']],
    ['download', ['--revision NAME', 'ID']],
  ])('explains %s', async (name, parts) => {
    const { code, out } = await run([name, '--nonsense', '--help']);
    expect(code).toBe(0);
    for (const part of [`Usage: speccascade ${name}`, ...parts]) expect(out).toContain(part);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(96);
  });

  it('tells its version', async () => {
    const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect((await run(['--version'])).out).toBe(`${version}\n`);
  });

  it.each([
    [[], 'expected a command'],
    [['translate'], 'unknown command "translate"'],
    [['--json'], 'unknown option "--json"'],
    [['generate', '--widths', '4'], "Unknown option '--widths'"],
    [['generate', '--temperature', 'NaN', 'x'], '--temperature: expected a number'],
    [['generate', '--rule', 'best', 'x'], '--rule: expected one of lossless'],
    [['generate', '--rule', 'opt', 'x'], '--rule opt needs --alpha'],
    [['generate', '--rule', 'opt', '--alpha', 'much', 'x'], '--alpha: expected a number'],
    [['generate', '--device', 'gpu', 'x'], '--device: expected auto, cpu'],
    [
      ['generate', '--draft', 'a', '--draft', 'b', 'x'],
      '--draft: expected 1 for this draft, received 2',
    ],
    [['generate', '--tree', '2', '--nodes', '4', 'x'], '--tree and --nodes exclude each other'],
    [['generate', '--depth', '2', 'x'], '--depth is of --nodes'],
    [
      ['generate', '--max-gram', '--adaptive', '--confidence', '0.5', 'x'],
      '--confidence is of chains of a model',
    ],
    [
      ['generate', '--lengths', '4', '--rule', 'bild', '--rollback', '1', '--fallback', '0.5', 'x'],
      '--fallback is of a drafter that drafts by itself',
    ],
    [['generate', '--max-gram', '--draft', 'a', 'x'], '--draft: expected 0'],
    [['generate', '--alpha', '1', 'x'], '--alpha is of --rule lossy, chow, diff, opt, tokenV1'],
    [['batch', '--beta', '2', 'x'], '--beta is of --rule lossy; the rule is lossless'],
    [['sweep', '--method', 'length=3 alpha=1'], '--alpha is of --rule lossy'],
    [['generate', '--no-draft', '--tree', '2', 'x'], '--tree needs a drafter'],
    [['generate', '--draft', 'a', '--no-draft', 'x'], 'exclude each other'],
    [['generate', '--input', 'a', 'x'], 'exclude each other'],
    [['generate', '--min-new-tokens', '9', '--max-new-tokens', '8', 'x'], '--min-new-tokens'],
    [['generate', '--logprobs', 'x'], '--logprobs needs --json'],
    [['batch', '--field', 'id'], '--field: expected a name other than id and options'],
    [['generate', '--target', '/no', '--tree', '200,2', 'x'], '--widths: expected at most 255'],
    [['generate', '--top-k', '5', 'x'], '--top-k is of --temperature above 0'],
    [['bench', 'x'], 'unexpected argument "x"'],
    [['bench', '--no-draft', '--length', '2'], '--length is of a drafter, and there is none'],
    [['bench', '--target', '/no', '--length', '2'], '--length is of a drafter'],
    [['download'], 'missing ID'],
  ])('%j ends with 2', async (args, message) => {
    const { code, out, err } = await run(args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(message);
    expect(err).toMatch(/^speccascade.*\nTry: speccascade.* --help\n$/);
  });

  it.each([
    [['generate', '--target', '/no/such/folder', 'x'], /^ERR_CHECKPOINT: .*\/no\/such\/folder/],
    [['generate', '--target', 'random:t6', 'x'], /^ERR_INPUT: .*t5-small/],
    [['generate', '--draft', goldenFolder('relu-tied'), 'x'], /^ERR_VOCAB_MISMATCH: /],
    [['generate', '--device', 'cpu', '--dtype', 'f16', 'x'], /^ERR_DEVICE: /],
    [['generate', '--input', '/no/such/file'], /^ERR_IO: \/no\/such\/file: /],
    [['info', root], /^ERR_CHECKPOINT: .*config\.json/],
    [['download', 'no/such/id'], /^ERR_INPUT: /],
    [['download', '/nonexist/abc'], /^ERR_CHECKPOINT: \/nonexist\/abc: no such folder$/m],
    [['download', './nonexist'], /^ERR_CHECKPOINT: .*\/nonexist: no such folder$/m],
    [['download', 'package.json'], /^ERR_CHECKPOINT: .*package\.json: .*received a file$/m],
    [['generate', '--target', 'models/larg', 'x'], /^ERR_CHECKPOINT: models\/larg: no such folder/],
  ])('%j ends with 1 and code: message', async (args, message) => {
    const { code, out, err } = await run(args);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(message);
    expect(err.trimEnd()).not.toContain('\n');
  });
});

describe('before a model is loaded', () => {
  const noModel = ['--target', '/no/model'];
  const copies = ['--max-gram', '--bigrams', '/no/bigrams'];
  it.each([
    [['generate', '--input', '/no/input'], /^ERR_IO: \/no\/input: /],
    [['generate', '--input', root], /^ERR_IO: .*: is a folder$/m],
    [['generate', ...copies, 'x'], /^ERR_IO: --bigrams: .*\/no\/bigrams/],
    [['generate', '--max-gram', '--bigrams', '/dev/null', 'x'], /^ERR_INPUT: bigrams: .* 0 bytes/],
    [['batch', '/no/input'], /^ERR_IO: \/no\/input: /],
    [['batch', captionsFile, ...copies], /^ERR_IO: --bigrams: .*\/no\/bigrams/],
    [['batch', captionsFile, '--output', 'package.json'], /^ERR_INPUT: .*exists already/],
    [['batch', captionsFile, '--output', '/no/output'], /^ERR_IO: .*there is no folder \/no$/m],
    [
      ['batch', captionsFile, '--output', captionsFile, '--overwrite'],
      /^ERR_INPUT: .*than the input/,
    ],
    [['batch', '--output', 'package.json', '--resume'], /^ERR_INPUT: .*has no checkpoint/],
    [['sweep', '--method', 'max-gram bigrams=/no/bigrams'], /^ERR_IO: --bigrams: .*\/no\/bigrams/],
    [['sweep', '--method', 'length=3'], /expected draft=MODEL with 1 models, received none/],
    [['sweep', '--draft', 'a', '--out', 'package.json/out'], /^ERR_IO: --out package.json\/out: /],
  ])('%j fails', async (args, message) => {
    const { out, err } = await run([...args, ...noModel]);
    expect(out).toBe('');
    expect(err).toMatch(message);
  });
});

describe('generate', () => {
  it('gives what the library gives, and a line of statistics', async () => {
    await using target = await loadBundled('large', { dtype: 'auto' });
    await using drafter = await loadBundled('base', { dtype: 'auto' });
    await using session = await createSession({ target, draft: chain(drafter, { length: 4 }) });
    const results = await session.generate(texts.map((text) => prefix + text));
    const { code, out, err } = await run(['generate', ...texts]);
    expect(out).toBe(results.map(({ text }) => `${text}\n`).join(''));
    expect(code).toBe(0);
    const tokens = results.reduce((sum, result) => sum + result.tokens.length, 0);
    expect(err).toMatch(new RegExp(`^3 outputs, ${tokens} tokens in .*drafter calls\n$`));
  });

  it('reads standard input line by line and keeps empty lines in their place', async () => {
    const plain = (await run(['generate', '--quiet', ...texts])).out.split('\n');
    const input = `${texts[0]}\r\n\n \n${texts[1]}\n${texts[2]}`;
    const { code, out, err } = await run(['generate', '--batch', '2'], input);
    expect(out).toBe([plain[0], '', '', plain[1], plain[2], ''].join('\n'));
    expect(code).toBe(0);
    expect(err).toContain('warning: 2 empty lines not decoded');
  });

  it('reads a file, as much of it as is asked for, and can be quiet', async () => {
    const args = ['generate', '--input', captionsFile, '--limit', '3'];
    const { out, err } = await run([...args, '--quiet']);
    expect(err).toBe('');
    expect(out).toBe((await run(['generate', '--no-draft', '--quiet', ...texts])).out);
    expect((await run([...args, '--limit', '0'])).out).toBe('');
  });

  it('answers a line before the next one comes', async () => {
    const child = start(['generate', '--quiet']);
    const ended = end(child);
    const first = seen(child.stdout, /\n/);
    child.stdin.write(`${texts[0]}\n`);
    await first;
    child.stdin.end(`${texts[1]}\n`);
    expect((await ended).out.split('\n')).toHaveLength(3);
  });

  it('writes JSON lines with everything a result has', async () => {
    const draws = ['--temperature', '0.5', '--seed', '1'];
    const lines = await jsonOf(['--logprobs', '--trace', ...draws], texts.join('\n'));
    expect(lines).toHaveLength(3);
    for (const [i, one] of lines.entries()) {
      expect(one).toMatchObject({ line: i + 1, sample: 0, input: texts[i], finishReason: 'eos' });
      expect(one.seed).toMatch(/^\d+$/);
      expect(one.logprobs).toHaveLength(one.tokens.length);
      expect(one.steps.flatMap(({ tokens }) => tokens)).toEqual(one.tokens);
      expect(one.steps).toHaveLength(one.stats.targetCalls);
      expect(one.stats).toMatchObject({ draftCalls: [expect.any(Number)], deferralRate: null });
    }
  });

  it('marks accepted drafts', async () => {
    const plain = await run(['generate', '--quiet', ...texts]);
    const { out, err } = await run(['generate', '--trace', ...texts]);
    expect(out).toMatch(/\[[^[\]]+\]/);
    expect(out.replace(/[[\]]/g, '')).toBe(plain.out);
    expect(err).toMatch(/^trace: \[drafted by base and accepted\]/);
    const alone = await run(['generate', '--trace', '--no-draft', texts[0]!]);
    expect(alone.out).not.toContain('[');
  });

  it('repeats draws with a seed, in any batch, and one alone by its own seed', async () => {
    const sampling = ['--temperature', '1', '--top-k', '20', '--top-p', '0.95'];
    const input = texts.join('\n');
    const first = await jsonOf([...sampling, '--seed', '7'], input);
    const again = await jsonOf([...sampling, '--seed', '7', '--batch', '1', '--trace'], input);
    const tokens = (lines: JsonLine[]): number[][] => lines.map((line) => line.tokens);
    expect(tokens(again)).toEqual(tokens(first));
    expect(tokens(await jsonOf([...sampling, '--seed', '8'], input))).not.toEqual(tokens(first));
    const alone = await jsonOf([...sampling, '--seed', first[2]!.seed, texts[2]!]);
    expect(tokens(alone)).toEqual([first[2]!.tokens]);
  });

  it('gives several samples of a text, the same with and without --trace', async () => {
    const args = ['--temperature', '1', '--num-samples', '4', '--seed', '3', texts[0]!];
    const samples = await jsonOf(args);
    expect(samples.map(({ sample }) => sample)).toEqual([0, 1, 2, 3]);
    expect(new Set(samples.map(({ text }) => text)).size).toBeGreaterThan(1);
    const traced = await jsonOf(['--trace', ...args]);
    expect(traced.map(({ tokens }) => tokens)).toEqual(samples.map(({ tokens }) => tokens));
  });

  it('takes and gives ids where there is no tokenizer', async () => {
    const target = ['--target', goldenFolder('relu-tied'), '--max-new-tokens', '4'];
    const { code, out } = await run(['generate', ...target, '5 6, 7 1']);
    expect(code).toBe(0);
    expect(out).toMatch(/^\d+( \d+){0,3}\n$/);
    const words = await run(['generate', ...target, 'a dog']);
    expect(words.code).toBe(1);
    expect(words.err).toContain('expected token ids');
  });

  it('puts the prefix in front of texts for bundled models only', async () => {
    const folder = ['--target', bundledFolder('base'), '--quiet'];
    const [byDefault, given, off] = await Promise.all([
      run(['generate', ...folder, texts[0]!]),
      run(['generate', ...folder, '--prefix', '', prefix + texts[0]]),
      run(['generate', ...folder, '--prefix', '', texts[0]!]),
    ]);
    expect(given.out).toBe(byDefault.out);
    expect(off.out).not.toBe(byDefault.out);
  });
});

describe('ends', () => {
  const endless = ['generate', '--threads', '1', '--dtype', 'f32', '--input', captionsFile];

  it('with 130 when interrupted, whole lines written', async () => {
    const child = start(endless);
    const ended = end(child);
    await seen(child.stdout, /\n/);
    child.kill('SIGINT');
    const { code, out, err } = await ended;
    expect(code).toBe(130);
    expect(out).toMatch(/\n$/);
    expect(err).toMatch(/outputs?, .*\nERR_ABORTED: interrupted by SIGINT\n$/);
  });

  it('with 130 when interrupted while waiting for input', async () => {
    const child = start(['generate']);
    const ended = end(child);
    child.stdin.write(`${texts[0]}\n`);
    await seen(child.stdout, /\n/);
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 130 });
  });

  it('quietly when its reader leaves, also with input still to come', async () => {
    for (const args of [endless, ['generate', '--input', '-']]) {
      const child = start(args);
      child.stdin.write(`${texts.join('\n')}\n`);
      let err = '';
      child.stderr.on('data', (text: Buffer) => (err += text.toString()));
      const code = new Promise((resolve) => child.on('exit', resolve));
      await seen(child.stdout, /\n/);
      child.stdout.destroy();
      child.stdin.on('error', () => {}).write(`${texts.join('\n')}\n`);
      expect({ code: await code, err }).toEqual({ code: 0, err: '' });
    }
  });

  it.skipIf(!existsSync('/dev/full'))('with 1 when the disk is full', () => {
    const command = `${shellProgram} generate '${texts[0]}' > /dev/full`;
    const { status, stderr } = spawnSync(command, { shell: true, cwd: root, encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toContain('ERR_IO: standard output: ENOSPC');
  });
});

/** util-linux's script runs a command in a pseudo terminal. */
const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util');

describe.skipIf(!hasScript)('on a terminal', () => {
  const onTerminal = (args: string, environment = ''): string => {
    const command = `${environment} ${shellProgram} ${args}`;
    // What Node reads before TERM to decide on colours; continuous integration sets some of them.
    const unset = { CI: undefined, NO_COLOR: undefined, NODE_DISABLE_COLORS: undefined };
    const env = { ...process.env, ...unset, FORCE_COLOR: undefined, TERM: 'xterm-256color' };
    const options = { cwd: root, encoding: 'utf8', env } as const;
    return spawnSync('script', ['-qec', command, '/dev/null'], options).stdout;
  };

  it('shows sources, outputs and colours', () => {
    const shown = onTerminal(`generate --trace --input '${captionsFile}' --limit 2`);
    expect(shown).toContain(`\x1b[2m${texts[0]}\x1b[22m\r\n`);
    expect(shown).toMatch(/\x1b\[32mEin\b/); // eslint-disable-line no-control-regex
    expect(shown).toMatch(/2 outputs, .* drafter calls/);
  });

  it('respects NO_COLOR', () => {
    const shown = onTerminal(`generate --trace '${texts[0]}'`, 'NO_COLOR=1');
    expect(shown).not.toContain('\x1b[32m');
    expect(shown).toMatch(/\[Ein\b/);
  });
});

describe('other commands', () => {
  isolateHub();

  it('info tells about models and devices', async () => {
    const { code, out } = await run(['info', '--json']);
    expect(code).toBe(0);
    const { models, devices } = JSON.parse(out) as Record<string, Record<string, unknown>[]>;
    expect(models!.map(({ model }) => model)).toEqual(['large', 'base', 'small']);
    expect(models![0]).toMatchObject({ config: { dModel: 256 }, tokenizer: { vocabSize: 8000 } });
    expect(devices![0]).toMatchObject({ kind: 'cpu' });
    const text = await run(['info', goldenFolder('umt5')]);
    expect(text.out).toMatch(/family +umt5/);
    expect(text.out).toMatch(/tokenizer +none/);
    const missing = await run(['info', '/no/such', goldenFolder('umt5')]);
    expect(missing.code).toBe(1);
    expect(missing.err).toMatch(/^ERR_\w+: .*\/no\/such/m);
    expect(missing.out).toMatch(/family +umt5[^]*device cpu/);
  });

  it('bench measures and checks', async () => {
    const few = ['--limit', '3', '--repeats', '1', '--length', '2,4', '--batch', '1,2'];
    const { code, out } = await run(['bench', '--json', ...few]);
    expect(code).toBe(0);
    const report = JSON.parse(out) as { rows: Record<string, unknown>[] };
    expect(report).toMatchObject({ texts: 3, repeats: 1, greedyOutputsEqual: true });
    const adaptive = report.rows.filter(({ method }) => method === 'adaptive');
    expect(adaptive.every(({ againstFixed }) => againstFixed !== null)).toBe(true);
    expect(report.rows.map(({ batch, length }) => [batch, length])).toEqual([
      ...[1, 2].flatMap((batch) => [0, 2, 4, 4].map((length) => [batch, length])),
    ]);
    const own = path.join(await tempFolder(), 'own.txt');
    await writeFile(own, `\n${texts[0]}\n`);
    const table = await run(['bench', '--no-draft', '--input', own, '--repeats', '2']);
    expect(table.out).toMatch(/1 texts, \d+ tokens, greedy; median of 2/);
    expect(table.out).toContain("all 2 rows gave the target's own tokens");
  });

  it('download fetches a model and prints its folder', async () => {
    await startHub();
    const cache = await tempFolder();
    const { code, out, err } = await run(['download', hubId, '--cache-dir', cache]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(existsSync(path.join(out.trimEnd(), 'model.safetensors'))).toBe(true);
    const missing = await run(['download', 'owner/other', '--cache-dir', cache]);
    expect(missing.code).toBe(1);
    expect(missing.err).toMatch(/^ERR_DOWNLOAD: /);
  });
});
