/** BLEU and chrF against figures of sacrebleu. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { corpusBleu, sentenceBleu, type Bleu } from '../lib/evaluate/bleu.ts';
import { corpusChrf, sentenceChrf } from '../lib/evaluate/chrf.ts';
import { readJson } from './support/models.ts';

interface Figures {
  bleu: number;
  precisions: number[];
  brevityPenalty: number;
  hypothesisLength: number;
  referenceLength: number;
  chrf2: number;
  chrf2pp: number;
}

interface Vectors {
  references: string[];
  systems: (Figures & { system: string; hypotheses?: string[] })[];
}

interface References {
  hypotheses: string[];
  references: string[][];
  corpus: Figures;
  sentences: Pick<Figures, 'bleu' | 'chrf2' | 'chrf2pp'>[];
}

const folder = path.join(import.meta.dirname, 'vectors');
const { references, systems } = readJson(path.join(folder, 'bleu.json.gz')) as Vectors;
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

function expectBleu(bleu: Bleu, expected: Figures): void {
  expect(bleu.score).toBeCloseTo(expected.bleu, digits);
  expected.precisions.forEach((one, i) => expect(bleu.precisions[i]).toBeCloseTo(one, digits));
  expect(bleu.brevityPenalty).toBeCloseTo(expected.brevityPenalty, digits);
  expect(bleu.hypothesisLength).toBe(expected.hypothesisLength);
  expect(bleu.referenceLength).toBe(expected.referenceLength);
}

describe('figures of sacrebleu', () => {
  const lists = references.map((one) => [one]);

  it.each(systems)('are met by a corpus: $system', ({ system, ...expected }) => {
    const hypotheses = expected.hypotheses ?? references.map(made[system]!);
    expectBleu(corpusBleu(hypotheses, lists), expected);
    expect(corpusChrf(hypotheses, lists)).toBeCloseTo(expected.chrf2, digits);
    const withWords = corpusChrf(hypotheses, lists, { wordOrder: 2 });
    expect(withWords).toBeCloseTo(expected.chrf2pp, digits);
  });

  it('are met with two references', () => {
    const { hypotheses, references: lists, corpus } = several;
    expectBleu(corpusBleu(hypotheses, lists), corpus);
    expect(corpusChrf(hypotheses, lists)).toBeCloseTo(corpus.chrf2, digits);
    expect(corpusChrf(hypotheses, lists, { wordOrder: 2 })).toBeCloseTo(corpus.chrf2pp, digits);
  });

  it.each(several.sentences.map((expected, i) => ({ i, expected })))(
    'are met by sentence $i',
    ({ i, expected }) => {
      const hypothesis = several.hypotheses[i]!;
      const own = several.references[i]!;
      expect(sentenceBleu(hypothesis, own).score).toBeCloseTo(expected.bleu, digits);
      expect(sentenceChrf(hypothesis, own)).toBeCloseTo(expected.chrf2, digits);
      const withWords = sentenceChrf(hypothesis, own, { wordOrder: 2 });
      expect(withWords).toBeCloseTo(expected.chrf2pp, digits);
    },
  );
});
