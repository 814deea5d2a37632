import { expect, test, describe } from 'vitest';
import { Tokenizer } from '../lib/tokenizer.ts';
import { references } from './support/references.ts';

const fixtures = new URL('fixtures/tokenizer/', import.meta.url);
const folder = (name: string): string => new URL(name, fixtures).pathname;

async function load(name: string): Promise<Tokenizer> {
  const tokenizer = await Tokenizer.load(folder(name));
  if (!tokenizer) throw new Error(`no tokenizer in ${name}`);
  return tokenizer;
}

/** The text of ids fed one at a time. */
function streamed(tokenizer: Tokenizer, ids: number[], skipSpecialTokens: boolean): string {
  const stream = tokenizer.stream({ skipSpecialTokens });
  return ids.map((id) => stream.push([id])).join('') + stream.end();
}

const forms = [
  { name: 'byt5', kind: 'byt5', size: 384 },
  { name: 'bpe', kind: 'tokenizer.json', size: 603 },
  { name: 'byte-fallback', kind: 'spiece.model', size: 602 },
  { name: 'older-form', kind: 'tokenizer.json', size: 347 },
  { name: 'fused', kind: 'tokenizer.json', size: 600 },
] as const;

describe.each(forms)('$name', ({ name, kind, size }) => {
  test('is recognised', async () => {
    const tokenizer = await load(name);
    expect(tokenizer.kind).toBe(kind);
    expect(tokenizer.vocabSize).toBe(size);
  });

  test('encodes as the reference does', async () => {
    const tokenizer = await load(name);
    for (const [text, ids] of references<[string, number[]]>(`${name}/encode`)) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
    }
  });

  test('decodes as the reference does, at once and as a stream', async () => {
    const tokenizer = await load(name);
    for (const [ids, full, text] of references<[number[], string, string]>(`${name}/decode`)) {
      const shown = JSON.stringify(ids);
      expect(tokenizer.decode(ids), shown).toBe(text);
      expect(tokenizer.decode(ids, { skipSpecialTokens: false }), shown).toBe(full);
      expect(streamed(tokenizer, ids, true), shown).toBe(text);
      expect(streamed(tokenizer, ids, false), shown).toBe(full);
    }
  });
});
