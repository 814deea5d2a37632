/** Successor tables for Max-Gram: counted, written, read, refused. */
import { describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { bigrams as command } from '../lib/cli/bigrams.ts';
import { Terminal } from '../lib/cli/terminal.ts';
import { loadBigrams, saveBigrams } from '../lib/cli/bigrams-file.ts';
import { countBigrams, readBigrams, writeBigrams } from '../lib/drafters/bigrams.ts';
import { createSession, maxGram } from '../lib/index.ts';
import { checkpointFolder, tempFolder, tinyConfig } from './support/checkpoint-builder.ts';
import { captions, loadBundled } from './support/models.ts';

describe('countBigrams', () => {
  it('keeps the most frequent successor, of equals the lower id, -1 for none', () => {
    const sequences = [[0, 3, 1, 3, 1], [3, 2, 3, 2], [4, 2, 4, 0]]; // prettier-ignore
    expect([...countBigrams(sequences, 6)]).toEqual([3, 3, 3, 1, 0, -1]);
  });

  it('counts nothing across sequences', () => {
    expect([...countBigrams([[1], [2], []], 3)]).toEqual([-1, -1, -1]);
  });
});

it('the command counts the tokens of a model whose weights it leaves alone', async () => {
  // Tables of tensors that make no model.
  const model = await checkpointFolder({
    'config.json': { ...tinyConfig, vocab_size: 384, tokenizer_class: 'ByT5Tokenizer' },
  });
  const folder = await tempFolder({ 'texts.txt': 'ab\n\nab\nac\n' });
  const output = path.join(folder, 'table');
  const argv = ['--model', model, '--input', path.join(folder, 'texts.txt'), '--output', output];
  const out = new PassThrough();
  const terminal = new Terminal(out as never, new PassThrough() as never);
  const { signal } = new AbortController();
  expect(await command.run([...argv, '--json'], { terminal, signal })).toBe(0);
  expect(JSON.parse(String(out.read()))).toMatchObject({ texts: 3, tokens: 384, known: 4 });
  const next = readBigrams(readFileSync(output));
  const id = (letter: string): number => letter.charCodeAt(0) + 3;
  expect([0, id('a'), id('b'), id('c'), id('d')].map((token) => next[token])).toEqual([
    ...[id('a'), id('b'), 1, 1, -1],
  ]);
});

describe('a file of bigrams', () => {
  it('holds what was written', () => {
    const next = Int32Array.of(5, -1, 0, 7);
    expect([...readBigrams(writeBigrams(next))]).toEqual([...next]);
  });

  it('is compressed where its name says so', async () => {
    const file = path.join(await tempFolder({ 'broken.gz': 'no' }), 'table.gz');
    const next = Int32Array.from({ length: 1000 }, (_, i) => i % 7);
    await saveBigrams(file, next);
    expect(readFileSync(file).length).toBeLessThan(1000);
    expect([...(await loadBigrams(file))]).toEqual([...next]);
    await expect(loadBigrams(path.join(path.dirname(file), 'broken.gz'))).rejects.toThrow('header');
  });

  it.each([0, 1, 7])('of %i bytes is refused', (bytes) => {
    expect(() => readBigrams(Buffer.alloc(bytes))).toThrow(`received ${bytes} bytes`);
  });

  it('of the bundled models makes Max-Gram propose what is accepted', async () => {
    await using target = await loadBundled('large');
    const bigrams = await loadBigrams('models/captions.bigrams.gz');
    expect(bigrams.length).toBe(target.config.vocabSize);
    await using plain = await createSession({ target, draft: maxGram() });
    await using session = await createSession({ target, draft: maxGram({ bigrams, length: 4 }) });
    const texts = captions(16);
    const own = await plain.generate(texts);
    const results = await session.generate(texts);
    expect(results.map(({ tokens }) => tokens)).toEqual(own.map(({ tokens }) => tokens));
    const { totals } = session.stats();
    expect(totals.blockEfficiency).toBeGreaterThan(1.2);
    expect(totals.blockEfficiency).toBeGreaterThan(plain.stats().totals.blockEfficiency);
  });

  it('for another vocabulary is refused', async () => {
    await using target = await loadBundled('large');
    const draft = maxGram({ bigrams: Int32Array.of(1, 0) });
    await expect(createSession({ target, draft })).rejects.toMatchObject({
      code: 'ERR_INPUT',
      message: expect.stringContaining('8064 successors') as string,
    });
  });
});
