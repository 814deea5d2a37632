/** What options of a method mean together, as the command line refuses what means nothing. */
import { describe, expect, it } from 'vitest';
import { checkMethodOptions } from '../lib/cli/method-checks.ts';
import { methodOptions, ruleOf } from '../lib/cli/method-options.ts';
import { readOptions, UsageError } from '../lib/cli/options.ts';

function check(line: string, drafts = true): void {
  const { values } = readOptions(methodOptions, line.split(' ').filter(Boolean));
  checkMethodOptions(values, drafts);
}

describe('refused with the name of the option', () => {
  it.each([
    ['--alpha 1', '--alpha is of --rule lossy, chow, diff, opt, tokenV1, tokenV2 or tokenV3; the rule is lossless'], // prettier-ignore
    ['--beta 2', '--beta is of --rule lossy; the rule is lossless'],
    ['--loss log', '--loss is of --rule chow, diff or opt; the rule is lossless'],
    ['--loss zero-one', '--loss is of'],
    ['--rollback 1', '--rollback is of --rule bild; the rule is lossless'],
    ['--fallback 0.2', '--fallback is of --rule bild; the rule is lossless'],
    ['--fallback 0', '--fallback is of'],
    ['--rule chow --alpha 1 --beta 1', '--beta is of --rule lossy; the rule is chow'],
    ['--rule lossy --alpha 0.1 --loss log', '--loss is of --rule chow, diff or opt'],
    ['--rule tokenV3 --alpha 1 --rollback 1', '--rollback is of --rule bild; the rule is tokenV3'],
    ['--rule bild --alpha 1 --rollback 1', '--alpha is of'],
    ['--rule bild', '--rule bild needs --rollback'],
    ['--rule lossy --alpha 0.3 --beta 0.2', '>= 1 - alpha = 0.7, received 0.2'],
    ['--verifier k-seq', '--verifier k-seq is of --tree with --replacement'],
    ['--verifier k-seq --tree 2,2', '--verifier k-seq is of --tree with --replacement'],
    ['--verifier block --nodes 4', '--verifier block is of chains'],
    ['--verifier block --tree 1,2', '--verifier block is of chains'],
    ['--verifier traversal', '--verifier traversal is of trees'],
    ['--verifier traversal --tree 1,1', '--verifier traversal is of trees'],
    ['--strategy token-cascade', '--strategy token-cascade needs a --rule'],
    [
      '--strategy sequence-cascade --rule chow --alpha 0',
      '--rule chow: --strategy sequence-cascade',
    ],
    ['--strategy sequence-cascade --tree 2', 'a chain of one model: not --tree'],
    ['--strategy sequence-cascade --max-gram', 'a chain of one model: not --max-gram'],
    ['--strategy sequence-cascade --verifier token', 'verifies nothing'],
    ['--lengths 5,14/1,10', '--lengths[1][0]: expected 0'],
    ['--tree 200,2', '--widths: expected at most 255 nodes'],
    ['--nodes 5 --depth 9', '--depth: expected an integer from 1 to 5'],
    ['--strategy token-cascade --rule chow --alpha 0 --length 3', '--length is of speculation'],
    ['--max-run 3', '--max-run is of --strategy token-cascade'],
    ['--score quantile', '--score is of --strategy sequence-cascade'],
    ['--threshold 1', '--threshold is of --strategy sequence-cascade'],
    ['--strategy sequence-cascade --quantile 0.5', '--quantile is of --score quantile'],
    ['--adaptive --tree 2', '--adaptive is of chains and cascades'],
    ['--max-gram --tree 2 --replacement', '--replacement is of a model'],
  ])('%s', (line, message) => {
    expect(() => check(line)).toThrow(UsageError);
    expect(() => check(line)).toThrow(message);
  });

  it.each([
    ['--length 3', '--length needs a drafter'],
    ['--tree 2', '--tree needs a drafter'],
    ['--adaptive', '--adaptive needs a drafter'],
    ['--verifier block', '--verifier block needs a drafter'],
    ['--strategy sequence-cascade', '--strategy sequence-cascade needs a drafter'],
  ])('%s without a drafter', (line, message) => {
    expect(() => check(line, false)).toThrow(UsageError);
    expect(() => check(line, false)).toThrow(message);
  });
});

it.each([
  '',
  '--rule lossless',
  '--rule chow --alpha 0.1 --loss log',
  '--rule lossy --alpha 0.7 --beta 0.3',
  '--rule bild --rollback 1 --fallback 0.2',
  '--verifier block --tree 1,1',
  '--verifier block --lengths 4,0/0,2',
  '--verifier traversal --tree 10',
  '--verifier traversal --nodes 4',
  '--verifier k-seq --tree 2,2 --replacement',
  '--strategy token-cascade --rule chow --alpha 0.1 --max-run 3',
  '--strategy sequence-cascade --score quantile --quantile 0.2 --threshold=-1',
  '--strategy sequence-cascade --threshold=-inf',
])('allowed: %s', (line) => {
  expect(() => check(line)).not.toThrow();
});

it('what is not given has its default', () => {
  const ruleFrom = (...argv: string[]) => ruleOf(readOptions(methodOptions, argv).values);
  expect(ruleFrom('--rule=opt', '--alpha=-inf')).toEqual({
    ...{ rule: 'opt', alpha: -Infinity, loss: 'zero-one' },
  });
  const bild = { rule: 'bild', rollback: 2, fallback: 0 };
  expect(ruleFrom('--rule', 'bild', '--rollback', '2')).toEqual(bild);
});
