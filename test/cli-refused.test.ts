/** What commands must not do to files, terminals and processes. */
import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { batch } from '../lib/cli/batch.ts';
import { bigrams } from '../lib/cli/bigrams.ts';
import { reportFailure } from '../lib/cli/failure.ts';
import { generate } from '../lib/cli/generate.ts';
import { modelText, type ModelInfo } from '../lib/cli/info.ts';
import { UsageError } from '../lib/cli/options.ts';
import { Terminal } from '../lib/cli/terminal.ts';
import { SpeccascadeError } from '../lib/index.ts';
import { expectError, tempFolder } from './support/checkpoint-builder.ts';
import { start } from './support/cli.ts';

const err = new PassThrough();
const terminal = new Terminal(new PassThrough() as never, err as never);
const { signal } = new AbortController();

it('bigrams does not write over the texts that it reads', async () => {
  const input = path.join(await tempFolder(), 'texts');
  writeFileSync(input, 'Ein Mann.\n');
  linkSync(input, `${input}.too`);
  for (const output of [input, `${input}.too`]) {
    const counting = bigrams.run(['--input', input, '--output', output], { terminal, signal });
    await expectError(counting, 'ERR_INPUT', '--output: expected another file than the input');
  }
  expect(readFileSync(input, 'utf8')).toBe('Ein Mann.\n');
});

it.each(['--resume', '--overwrite', '--checkpoint-seconds=9'])(
  'batch has no %s for standard output',
  async (option) => {
    const work = batch.run([option], { terminal, signal });
    await expect(work).rejects.toThrow(UsageError);
    await expect(work).rejects.toThrow(`${option.split('=')[0]} needs --output FILE`);
  },
);

it.each([['--lengths=3'], ['--lengths=4,0/0,2', '--draft=base', '--draft=small']])(
  'generate reads no --bigrams for %s',
  async (...options) => {
    const work = generate.run([...options, '--bigrams=x', 'A man.'], { terminal, signal });
    await expect(work).rejects.toThrow('--bigrams is of --lengths with one row more than drafters');
  },
);

it('the words of a checkpoint do not steer the terminal', () => {
  const words = '\x1b[2Jgone';
  const text = modelText({
    ...({ model: 'm', config: {}, parameters: 1, memoryBytes: 1 } as ModelInfo),
    ...{ device: 'cpu', dtype: 'f32', tokenizer: null, warnings: [words], ignoredTensors: [words] },
  });
  expect(text).toContain('\uFFFD[2Jgone');
  const error = new SpeccascadeError('ERR_CHECKPOINT', words);
  reportFailure(error, { terminal, signal, command: 'info' });
  expect(text + String(err.read())).not.toContain('\x1b');
});

/** Whether a thread of the process is within openat(), by its numbers on x64 and arm64. */
function opens(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  const call = (task: string) => readFileSync(path.join(tasks, task, 'syscall'), 'utf8');
  return readdirSync(tasks).some((task) => /^(257|56) /.test(call(task)));
}

const noProc = existsSync('/proc/self/syscall') ? '' : ' (skipped: no /proc/PID/syscall)';

it.skipIf(noProc).each([
  ['generate', ['--input']],
  ['batch', []],
])(
  `%s that waits for the writer of a pipe can be interrupted${noProc}`,
  async (command, before) => {
    const pipe = path.join(await tempFolder(), 'pipe');
    execFileSync('mkfifo', [pipe]);
    const child = start([command, '--target', 'small', '--no-draft', ...before, pipe]);
    let said = '';
    child.stderr.on('data', (text) => (said += String(text)));
    const ended = new Promise((resolve) => child.on('exit', (...how) => resolve(how)));
    for (let seen = 0; seen < 2; seen += 1) {
      await expect.poll(() => opens(child.pid!), { interval: 200 }).toBe(true);
    }
    child.kill('SIGINT');
    expect(await ended).toEqual([null, 'SIGINT']); // 130 in a shell
    expect(said).toContain('ERR_ABORTED: interrupted by SIGINT\n');
  },
);
