/** What the soak decodes: models with methods, and requests with the results they have alone. */
import {
  adaptive,
  chain,
  chow,
  createSession,
  csDraft,
  dynamicTree,
  lossy,
  maxGram,
  opt,
  tree,
  type DecodeSession,
  type GenerateOptions,
  type SessionOptions,
  type T5Model,
} from '../../lib/index.ts';
import { deriveSeed } from '../../lib/session/seeds.ts';
import { loadBundled, loadGolden } from '../../test/support/models.ts';

/** Models by name, loaded anew each time. */
const checkpoints: Record<string, () => Promise<T5Model>> = {
  tied: () => loadGolden('relu-tied'),
  untied: () => loadGolden('gated-untied'),
  umt5: () => loadGolden('umt5'),
  odd: () => loadGolden('odd-sizes'),
  small: () => loadBundled('small', { dtype: 'auto' }),
  base: () => loadBundled('base', { dtype: 'auto' }),
};

/** A method on models: the target first. */
interface Method {
  name: string;
  models: string[];
  options: (models: T5Model[]) => Omit<SessionOptions, 'target'>;
}

const methods: Method[] = [
  { name: 'autoregressive', models: ['tied'], options: () => ({}) },
  {
    name: 'chain, Chow',
    models: ['tied', 'tied'],
    options: ([, drafter]) => ({
      draft: chain(drafter!, { length: 4 }),
      rule: chow({ alpha: 0.5 }),
    }),
  },
  {
    name: 'tree, lossy',
    models: ['untied', 'untied'],
    options: ([, drafter]) => ({
      draft: tree(drafter!, { widths: [3, 2] }),
      rule: lossy({ alpha: 0.2 }),
    }),
  },
  {
    name: 'dynamic tree',
    models: ['umt5', 'umt5'],
    options: ([, drafter]) => ({ draft: dynamicTree(drafter!, { nodes: 8 }) }),
  },
  { name: 'Max-Gram', models: ['odd'], options: () => ({ draft: maxGram() }) },
  {
    name: 'csDraft',
    models: ['odd', 'odd'],
    options: ([, drafter]) => ({ draft: csDraft([drafter!], { lengths: [[3, 3], [0, 2]] }) }), // prettier-ignore
  },
  {
    name: 'bundled, chain, OPT',
    models: ['base', 'small'],
    options: ([, drafter]) => ({
      draft: chain(drafter!, { length: 4 }),
      rule: opt({ alpha: 0.3 }),
    }),
  },
  {
    name: 'bundled, adaptive chain',
    models: ['base', 'small'],
    options: ([, drafter]) => ({ draft: adaptive(chain(drafter!, { length: 3 }), { max: 6 }) }),
  },
];

export interface Template {
  input: number[];
  options: Omit<GenerateOptions, 'numSamples'> & { seed: number };
  /** Of the solo run. */
  tokens: number[];
  /** Inputs of a call with several, the first is `input`. */
  list: number[][];
  /** What each of them gives alone, with the seed that it has in the call. */
  listTokens: number[][];
  /** Of two samples of `input`. */
  sampleTokens: number[][];
}

/** A method with its models in memory. */
export interface Stage {
  open(maxBatch: number): Promise<DecodeSession>;
  dispose(): Promise<void>;
}

export interface Scene {
  name: string;
  vocabSize: number;
  templates: Template[];
  load(): Promise<Stage>;
}

const limits = { maxNewTokens: 40, maxInputTokens: 64 };

async function load({ models, options }: Method): Promise<Stage & { target: T5Model }> {
  const loaded = await Promise.all(models.map((name) => checkpoints[name]!()));
  const target = loaded[0]!;
  return {
    target,
    open: (maxBatch) => createSession({ target, maxBatch, ...limits, ...options(loaded) }),
    dispose: async () => void (await Promise.all(loaded.map((model) => model.dispose()))),
  };
}

type Drawn = Pick<Template, 'input' | 'options'>;

function drawTemplate(vocabSize: number, random: () => number): Drawn {
  const whole = (low: number, high: number): number => low + Math.floor(random() * (high - low));
  const input = Array.from({ length: whole(0, 60) }, () => whole(2, vocabSize));
  const sampled = random() < 0.5;
  const options = {
    maxNewTokens: whole(1, 41),
    temperature: sampled ? 0.5 + random() : 0,
    topK: sampled && random() < 0.5 ? whole(1, 20) : 0,
    seed: whole(0, 2 ** 31),
  };
  return { input: [...input, 1], options };
}

/** The templates with what their calls give, each output decoded by itself. */
async function decodeAlone(session: DecodeSession, drawn: Drawn[]): Promise<Template[]> {
  const alone = async (input: number[], options: Drawn['options'], output: number) => {
    const seed = deriveSeed(BigInt(options.seed), output);
    return (await session.generate(input, { ...options, seed })).tokens;
  };
  const templates: Template[] = [];
  for (const [i, { input, options }] of drawn.entries()) {
    const list = [0, 1, 2].map((step) => drawn[(i + step) % drawn.length]!.input);
    const tokens = await alone(input, options, 0);
    const second = await alone(input, options, 1);
    const listTokens = [tokens];
    for (const at of [1, 2]) listTokens.push(await alone(list[at]!, options, at));
    templates.push({ input, options, tokens, list, listTokens, sampleTokens: [tokens, second] });
  }
  return templates;
}

/** All scenes, with `count` requests each whose results were computed one by one (maxBatch 1). */
export async function prepareScenes(count: number, random: () => number): Promise<Scene[]> {
  const scenes: Scene[] = [];
  for (const method of methods) {
    const stage = await load(method);
    const { vocabSize } = stage.target.config;
    const session = await stage.open(1);
    const drawn = Array.from({ length: count }, () => drawTemplate(vocabSize, random));
    const templates = await decodeAlone(session, drawn);
    await session.close();
    await stage.dispose();
    scenes.push({ name: method.name, vocabSize, templates, load: () => load(method) });
  }
  return scenes;
}
