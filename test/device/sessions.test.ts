/** Sessions on the device against the same on the CPU: every drafter, rule and verifier. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  adaptive,
  chain,
  chow,
  createSession,
  csDraft,
  dynamicTree,
  lossless,
  maxGram,
  tokenV3,
  tree,
  type Result,
  type SessionOptions,
  type T5Model,
} from '../../lib/index.ts';
import { device, loadGolden } from '../support/models.ts';

type Kind = 'cpu' | 'device';
type Models = Record<'target' | 'drafter', T5Model>;

const inputs = [
  [17, 4, 90, 33, 1],
  [8, 120, 8, 120, 8, 55, 1],
  [61, 1],
];
const common = { maxNewTokens: 10, maxInputTokens: 16, maxBatch: 3 };

/** Every integer of a result: float32 on both sides, their decisions are the same. */
function decisions({ tokens, finishReason, stats }: Result): unknown {
  const { targetCalls, draftCalls, proposed, tested, accepted } = stats;
  return { tokens, finishReason, targetCalls, draftCalls, proposed, tested, accepted };
}

describe(`sessions on ${device}`, () => {
  let models: Record<Kind, Models>;

  beforeAll(async () => {
    const load = async (options: { device?: 'cpu' }): Promise<Models> => ({
      target: await loadGolden('gated-untied', options),
      drafter: await loadGolden('relu-tied', options),
    });
    models = { cpu: await load({ device: 'cpu' }), device: await load({}) };
  });
  afterAll(async () => {
    for (const { target, drafter } of Object.values(models)) {
      await target.dispose();
      await drafter.dispose();
    }
  });

  async function compare(
    optionsOf: (models: Models) => Omit<SessionOptions, 'target'>,
    sampling: { temperature: number; topK?: number; topP?: number; seed?: number },
  ): Promise<void> {
    const results: Partial<Record<Kind, Result[]>> = {};
    for (const kind of ['cpu', 'device'] as const) {
      const { target } = models[kind];
      await using session = await createSession({ ...common, target, ...optionsOf(models[kind]) });
      results[kind] = await session.generate(inputs, { ...sampling, logprobs: true });
    }
    expect(results.device!.map(decisions)).toEqual(results.cpu!.map(decisions));
    results.device!.forEach(({ logprobs }, i) =>
      logprobs!.forEach((value, at) =>
        expect(value).toBeCloseTo(results.cpu![i]!.logprobs![at]!, 4),
      ),
    );
  }

  const greedy = { temperature: 0 };
  const sampled = { temperature: 0.9, topK: 60, topP: 0.95, seed: 7 };

  it.each<[string, (models: Models) => Omit<SessionOptions, 'target'>]>([
    ['no drafter', () => ({})],
    ['a chain', ({ drafter }) => ({ draft: chain(drafter, { length: 3 }) })],
    ['a chain of its own', ({ target }) => ({ draft: chain(target, { length: 3 }) })],
    ['a tree', ({ drafter }) => ({ draft: tree(drafter, { widths: [3, 2] }) })],
    ['a dynamic tree', ({ drafter }) => ({ draft: dynamicTree(drafter, { nodes: 5 }) })],
    ['Max-Gram', () => ({ draft: maxGram() })],
    [
      'a cascade',
      ({ drafter }) => ({
        draft: csDraft([drafter], {
          lengths: [
            [2, 2],
            [0, 2],
          ],
        }),
      }),
    ],
    ['an adaptive chain', ({ drafter }) => ({ draft: adaptive(chain(drafter, { length: 3 })) })],
  ])('%s: the decisions of the CPU, greedy and sampled', async (_, optionsOf) => {
    await compare((models) => ({ lengths: 'fixed', ...optionsOf(models) }), greedy);
    await compare(optionsOf, sampled);
  });

  it.each<[string, Omit<SessionOptions, 'target' | 'draft'>]>([
    ['Chow', { rule: chow({ alpha: 0.2 }) }],
    ['Token V3', { rule: tokenV3({ alpha: 0.3 }) }],
    ['block verification', { rule: lossless(), verifier: 'block' }],
  ])('%s: the decisions of the CPU', async (_, options) => {
    await compare(({ drafter }) => ({ draft: chain(drafter, { length: 3 }), ...options }), sampled);
  });

  it('K-SEQ: the decisions of the CPU', async () => {
    await compare(({ drafter }) => {
      const draft = tree(drafter, { widths: [2, 2], replacement: true });
      return { draft, verifier: 'k-seq' };
    }, sampled);
  });

  it('traversal: the decisions of the CPU', async () => {
    await compare(({ drafter }) => {
      return { draft: tree(drafter, { widths: [2, 2, 1] }), verifier: 'traversal' };
    }, sampled);
  });
});
