/** BLEU and chrF against figures of sacrebleu. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { bleuCounts, bleuCountsLength, bleuOf } from '../lib/evaluate/bleu.ts';
import { addVectors } from '../lib/evaluate/ngrams.ts';
import { tokenize13a } from '../lib/evaluate/tokenize-13a.ts';
import { countSentences, qualityOf } from '../lib/evaluate/quality.ts';
import { readJson, translations } from './support/models.ts';

interface Figures {
  bleu: number;
  precisions: number[];
  brevityPenalty: number;
  hypothesisLength: number;
  referenceLength: number;
  chrf2: number;
}

interface Vectors {
  systems: (Figures & { system: string; hypotheses?: string[] })[];
}

interface References {
  hypotheses: string[];
  references: string[][];
  corpus: Figures;
  sentences: Pick<Figures, 'bleu' | 'chrf2'>[];
}

const folder = path.join(import.meta.dirname, 'vectors');
const { systems } = readJson(path.join(folder, 'bleu.json.gz')) as Vectors;
const references = translations(80);
const several = readJson(path.join(folder, 'bleu-references.json.gz')) as References;
/** What systems without hypotheses of their own make of a reference. */
const made: Record<string, (reference: string, i: number) => string> = {
  identical: (reference) => reference,
  'upper case': (reference) => reference.toUpperCase(),
  'too long': (reference) => `${reference} ${reference}`,
  'half empty': (reference, i) => (i % 2 === 0 ? '' : reference),
  'nothing in common': () => 'xyz qqq',
};
/** Both sides compute in double precision; only the order of sums may differ. */
const digits = 9;

function expectCorpus(hypotheses: string[], lists: string[][], expected: Figures): void {
  const counts = countSentences(hypotheses, lists);
  const quality = qualityOf(counts);
  expect(quality.bleu).toBeCloseTo(expected.bleu, digits);
  expect(quality.chrf).toBeCloseTo(expected.chrf2, digits);
  const sum = new Float64Array(bleuCountsLength);
  for (const one of counts.bleu) addVectors(sum, one);
  const bleu = bleuOf(sum);
  expected.precisions.forEach((one, i) => expect(bleu.precisions[i]).toBeCloseTo(one, digits));
  expect(bleu.brevityPenalty).toBeCloseTo(expected.brevityPenalty, digits);
  expect(bleu.hypothesisLength).toBe(expected.hypothesisLength);
  expect(bleu.referenceLength).toBe(expected.referenceLength);
}

/** Of a sentence sacrebleu leaves out the orders that it is too short for; of a corpus, none. */
function sentenceBleu(hypothesis: string, lists: string[]): number {
  const { precisions, brevityPenalty, hypothesisLength } = bleuOf(bleuCounts(hypothesis, lists));
  const used = precisions.slice(0, Math.max(1, hypothesisLength));
  const mean = used.reduce((sum, one) => sum + Math.log(one), 0) / used.length;
  return brevityPenalty * Math.exp(mean);
}

it("the tokenizer trims Python's white space, not JavaScript's", () => {
  expect(tokenize13a('a-\n\x85\x1c')).toEqual(['a-']);
  expect(tokenize13a('a\uFEFF')).toEqual(['a\uFEFF']);
});

it('a corpus too short for an order has no BLEU: sacrebleu says 0.0', () => {
  const { score, precisions } = bleuOf(bleuCounts('a b', ['a b c']));
  expect(precisions).toEqual([100, 100, 0, 0]);
  expect(score).toBe(0);
});

describe('figures of sacrebleu', () => {
  const lists = references.map((one) => [one]);

  it.each(systems)('are met by a corpus: $system', ({ system, ...expected }) => {
    expectCorpus(expected.hypotheses ?? references.map(made[system]!), lists, expected);
  });

  it('are met with two references', () => {
    expectCorpus(several.hypotheses, several.references, several.corpus);
  });

  it.each(several.sentences.map((expected, i) => ({ i, expected })))(
    'are met by sentence $i',
    ({ i, expected }) => {
      const hypothesis = several.hypotheses[i]!;
      const own = several.references[i]!;
      expect(sentenceBleu(hypothesis, own)).toBeCloseTo(expected.bleu, digits);
      expect(qualityOf(countSentences([hypothesis], [own])).chrf).toBeCloseTo(
        expected.chrf2,
        digits,
      );
    },
  );
});
