/** The laws under test: small enough to enumerate, each rule with part of both models in it. */
import {
  bild,
  chow,
  diff,
  lossless,
  lossy,
  opt,
  tokenV1,
  tokenV2,
  tokenV3,
} from '../../lib/index.ts';
import type { LawCase } from './law.ts';

export type NamedLawCase = LawCase & { name: string };

const losslessCase = (name: string, rest: Omit<LawCase, 'rule'>): NamedLawCase => ({
  name,
  rule: lossless(),
  ...rest,
});

/** Sampling options with the lossless rule. */
export const samplingCases: NamedLawCase[] = [
  losslessCase('temperature 1', { sampling: { temperature: 1 }, length: 2, cells: 8 }),
  losslessCase('temperature 0.5', { sampling: { temperature: 0.5 }, length: 2, cells: 8 }),
  losslessCase('top-k 40', { sampling: { temperature: 2, topK: 40 }, length: 2, cells: 8 }),
  losslessCase('top-p 0.8', { sampling: { temperature: 2, topP: 0.8 }, length: 2, cells: 8 }),
  losslessCase('top-k 60, top-p 0.9', {
    sampling: { temperature: 3, topK: 60, topP: 0.9 },
    length: 2,
    cells: 8,
  }),
];

const rules = {
  'lossy 0.4': lossy({ alpha: 0.4 }),
  'lossy 0.4, matched': lossy({ alpha: 0.4, beta: 'matched' }),
  chow: chow({ alpha: 0.914 }),
  'chow, log loss': chow({ alpha: 3.94, loss: 'log' }),
  diff: diff({ alpha: -0.02 }),
  'diff, log loss': diff({ alpha: -0.4, loss: 'log' }),
  opt: opt({ alpha: -0.03 }),
  'opt, log loss': opt({ alpha: -0.65, loss: 'log' }),
  'token V1': tokenV1({ alpha: 0.06 }),
  'token V2': tokenV2({ alpha: 0.05 }),
  'token V3': tokenV3({ alpha: 0.8 }),
  bild: bild({ rollback: 5.22 }),
};

/** Every rule that weighs two models; thresholds near the models' own confidences. */
export const ruleCases: NamedLawCase[] = Object.entries(rules).map(([name, rule]) => ({
  name,
  rule,
  sampling: { temperature: 1 },
  length: 2,
  cells: 8,
}));
