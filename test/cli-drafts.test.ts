/** Every drafter, verifier and strategy of `speccascade generate`. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { Result } from '../lib/index.ts';
import { run } from './support/cli.ts';
import { bundledFolder, captions, prefix } from './support/models.ts';

const texts = captions(3).map((text) => text.slice(prefix.length));

describe('generate drafts', () => {
  let alone = '';
  beforeAll(async () => {
    alone = (await run(['generate', '--no-draft', '--quiet', ...texts])).out;
  });

  it.each([
    ['--lengths', '4,4/0,3'],
    ['--lengths', '5,3,2/0,2,2/0,0,2', '--lenience', '2'],
    ['--max-gram', '--adaptive'],
    ['--max-gram', '--tree', '3,2'],
    ['--nodes', '12'],
    ['--adaptive', '--confidence', '0.3'],
    ['--tree', '3,2', '--replacement', '--verifier', 'k-seq'],
    ['--tree', '2,2', '--verifier', 'traversal'],
    ['--verifier', 'token'],
  ])('by %s %s with the output of the target alone', async (...args) => {
    const { code, out } = await run(['generate', '--quiet', ...args, ...texts]);
    expect({ code, out }).toEqual({ code: 0, out: alone });
  });

  it('alike with a bundled target that is named', async () => {
    const folder = bundledFolder('large');
    for (const args of [
      ['--max-gram', '--length', '4'],
      ['--length', '3'],
    ]) {
      const counters = async (...target: string[]): Promise<unknown> => {
        const { out } = await run(['generate', '--json', '--quiet', ...target, ...args, texts[0]!]);
        const { stats } = JSON.parse(out) as Pick<Result, 'stats'>;
        return { ...stats, encodeMs: 0, decodeMs: 0 };
      };
      const unnamed = await counters();
      expect(await counters('--target', folder)).toEqual(unnamed);
      expect(await counters('--target', 'large')).toEqual(unnamed);
    }
  });

  it.each([
    ['--strategy', 'token-cascade', '--rule', 'chow', '--alpha', '0.3'],
    ['--strategy', 'sequence-cascade', '--score', 'quantile', '--threshold=-2'],
  ])('and defers by %s %s', async (...args) => {
    const { code, out } = await run(['generate', ...args, ...texts]);
    expect(code).toBe(0);
    expect(out.split('\n')).toHaveLength(texts.length + 1);
  });
});
