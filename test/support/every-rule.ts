/** Every rule, with parameters at which it neither trusts nor refuses everything. */
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
  type Rule,
} from '../../lib/index.ts';

export const everyRule: [string, Rule][] = [
  ['lossless', lossless()],
  ['lossy', lossy({ alpha: 0.3 })],
  ['lossy, beta', lossy({ alpha: 0.4, beta: 0.8 })],
  ['lossy, matched', lossy({ alpha: 0.3, beta: 'matched' })],
  ['chow', chow({ alpha: 0.5 })],
  ['chow, log', chow({ alpha: 1, loss: 'log' })],
  ['diff', diff({ alpha: 0.1 })],
  ['diff, log', diff({ alpha: 0.1, loss: 'log' })],
  ['opt', opt({ alpha: 0.4 })],
  ['opt, log', opt({ alpha: 0.4, loss: 'log' })],
  ['tokenV1', tokenV1({ alpha: 0.1 })],
  ['tokenV2', tokenV2({ alpha: 0.2 })],
  ['tokenV3', tokenV3({ alpha: 0.5 })],
  ['bild', bild({ rollback: 1.3 })],
];
