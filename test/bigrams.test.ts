/** Successor tables for Max-Gram: counted, written, read, refused. */
import { describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { countBigrams, readBigrams, writeBigrams } from '../lib/drafters/bigrams.ts';
import { createSession, maxGram } from '../lib/index.ts';
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

describe('a file of bigrams', () => {
  it('holds what was written', () => {
    const next = Int32Array.of(5, -1, 0, 7);
    expect([...readBigrams(writeBigrams(next))]).toEqual([...next]);
  });

  it.each([0, 1, 7])('of %i bytes is refused', (bytes) => {
    expect(() => readBigrams(Buffer.alloc(bytes))).toThrow(`received ${bytes} bytes`);
  });

  it('of the bundled models makes Max-Gram propose what is accepted', async () => {
    await using target = await loadBundled('large');
    const bigrams = readBigrams(readFileSync('models/captions.bigrams'));
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
