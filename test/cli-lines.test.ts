/** Lines of input: how they are told apart, and what becomes of those that fail. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { readLines } from '../lib/cli/lines.ts';
import { tempFolder } from './support/checkpoint-builder.ts';
import { run } from './support/cli.ts';
import { captions, prefix } from './support/models.ts';

const texts = captions(2).map((text) => text.slice(prefix.length));

describe('readLines', () => {
  const read = async (...chunks: (string | Buffer)[]): Promise<[string, boolean][]> => {
    const lines: [string, boolean][] = [];
    const buffers = chunks.map((chunk) => Buffer.from(chunk as string));
    for await (const { number, text, broken } of readLines(Readable.from(buffers), 'test')) {
      expect(number).toBe(lines.push([text, broken]));
    }
    return lines;
  };
  const lines = async (...chunks: (string | Buffer)[]): Promise<string[]> =>
    (await read(...chunks)).map(([text]) => text);

  it('splits at line ends only, wherever the chunks end', async () => {
    expect(await lines('a\nb', 'c\r', '\n\n', 'd')).toEqual(['a', 'bc', '', 'd']);
    expect(await lines('a\u2028b\rc\n')).toEqual(['a\u2028b\rc']);
    expect(await lines('')).toEqual([]);
    expect(await lines('\n')).toEqual(['']);
  });

  it('puts characters together that chunks have cut', async () => {
    const bytes = Buffer.from('grün\n€');
    const single = Array.from(bytes, (byte) => Buffer.from([byte]));
    expect(await lines(...single)).toEqual(['grün', '€']);
  });

  it('tells which line is not UTF-8, and drops a byte order mark at the beginning alone', async () => {
    expect(await lines('\ufeffa\n\ufeffb')).toEqual(['a', '\ufeffb']);
    expect(await read('a\n', Buffer.from([0x64, 0xff, 0x0d, 0x0a]), '\ufffd')).toEqual([
      ['a', false],
      ['d\ufffd', true],
      ['\ufffd', false],
    ]);
  });

  it('names the file that fails', async () => {
    const broken = new Readable({ read: () => broken.destroy(new Error('EIO')) });
    const failure = readLines(broken, 'some.txt').next();
    await expect(failure).rejects.toMatchObject({ code: 'ERR_IO', message: 'some.txt: EIO' });
  });
});

describe('generate', () => {
  it('reports lines that fail and goes on', async () => {
    const input = `${texts[0]}\n${'dog '.repeat(40)}\n${texts[1]}\n`;
    const limit = ['--max-input-tokens', '30'];
    const { code, out, err } = await run(['generate', ...limit], input);
    expect(code).toBe(1);
    expect(out.split('\n').map((line) => line !== '')).toEqual([true, false, true, false]);
    expect(err).toMatch(/^ERR_INPUT: line 2: expected at most maxInputTokens \(30\)/);
    const [, failed] = (await run(['generate', '--json', ...limit], input)).out.split('\n');
    expect(JSON.parse(failed!)).toMatchObject({ line: 2, error: { code: 'ERR_INPUT' } });
    expect((await run(['generate', '--truncate', ...limit], input)).code).toBe(0);
  });

  it('refuses an empty text', async () => {
    const { code, err } = await run(['generate', texts[0]!, ' ']);
    expect(code).toBe(1);
    expect(err).toMatch(/^ERR_INPUT: text 2: /);
  });

  it('goes on after a line that is not UTF-8', async () => {
    const parts = [`${texts[0]}\n`, Uint8Array.of(0x64, 0xff, 0x0a), `${texts[1]}\n`];
    const input = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
    const { code, out, err } = await run(['generate'], input);
    expect(code).toBe(1);
    expect(err).toMatch(/^ERR_INPUT: line 2: expected UTF-8, received "d\ufffd"\n/);
    const whole = await run(['generate'], `${texts[0]}\n\n${texts[1]}\n`);
    expect(out).toBe(whole.out);
    const [, failed] = (await run(['generate', '--json'], input)).out.split('\n');
    expect(JSON.parse(failed!)).toMatchObject({ line: 2, error: { code: 'ERR_INPUT' } });
  });
});

it.each([
  ['bench', '--limit', '2', '--input'],
  ['bigrams', '--output', '/dev/null', '--input'],
  ['tune', '--input'],
])('%s names the line that is not UTF-8', async (...args) => {
  const file = path.join(await tempFolder(), 'broken.txt');
  await writeFile(file, Buffer.concat([Buffer.from('a\n'), Uint8Array.of(0x64, 0xff)]));
  const { code, err } = await run([...args, file]);
  expect(code).toBe(1);
  expect(err).toBe(`ERR_INPUT: ${file}, line 2: expected UTF-8, received "d\ufffd"\n`);
});
