/** What tune measures first, and which methods that makes promising. */
import type { MethodSession } from '../evaluate/method.ts';
import {
  chainTokens,
  passMs,
  predictSpeedup,
  speedupOf,
  verticalTokens,
  type Costs,
} from '../evaluate/tune-predict.ts';
import { probe, type Probe, type Sample } from '../evaluate/tune-probe.ts';
import { draftWord, methodOf, parseMethod, type MethodModels } from './method-spec.ts';

const chainLength = 8;
/** Every tree that begins like one of these can be predicted from it. */
const probedTrees = [
  [2, 2, 1, 1],
  [4, 2, 1, 1],
];
const copyLengths = [2, 4, 8];

interface DrafterEvidence {
  name: string;
  costs: Costs;
  /** By depth, of a chain. */
  acceptance: number[];
  trees: { widths: number[]; acceptance: number[] }[];
}

export interface Evidence {
  target: Probe;
  drafters: DrafterEvidence[];
  /** Max-Gram, which needs no model. */
  copies: { acceptance: number[]; costs: Costs };
  /** The second drafter drafting for the first, per length, where there are two. */
  lower: Lower[];
}

interface Lower {
  length: number;
  /** Mean over depths. */
  acceptance: number;
  /** Of a draft and its review. */
  stepMs: number;
}

/** A method and its expected speed-up; null: no formula covers it. */
export interface Prediction {
  spec: string;
  predicted: number | null;
}

/** Decodes the sample once per probe; `onProbe` hears what is next. */
export async function gatherEvidence(
  drafters: readonly string[],
  models: MethodModels,
  sample: Sample,
  onProbe: (what: string) => void,
): Promise<Evidence> {
  const run = async (spec: string, depth: number): Promise<Probe> => {
    onProbe(spec);
    const { session } = await methodOf(parseMethod(spec)[0]!, models);
    return probe(session, depth, sample);
  };
  const alone = async (name: string): Promise<Probe> => {
    onProbe(`alone=${name}`);
    const session: MethodSession = { target: await models.load(name) };
    return probe(session, 0, sample);
  };
  onProbe('target');
  const target = await probe({ target: models.target }, 0, sample);
  const evidence: DrafterEvidence[] = [];
  for (const name of drafters) evidence.push(await ofDrafter(name, target, { run, alone }));
  const copied = await run(`max-gram length=${copyLengths.at(-1)}`, copyLengths.at(-1)!);
  const passes = evidence[0]?.costs.passes ?? [{ positions: 1, ms: target.stepMs }];
  const { encodeMsPerToken } = target;
  const copies = { target, draftMs: 0, passes, encodeMsPerToken };
  return {
    target,
    drafters: evidence,
    copies: { acceptance: copied.acceptance, costs: copies },
    lower: await lowerDrafts(drafters, models, sample, onProbe),
  };
}

async function ofDrafter(
  name: string,
  target: Probe,
  {
    run,
    alone,
  }: {
    run: (spec: string, depth: number) => Promise<Probe>;
    alone: (name: string) => Promise<Probe>;
  },
): Promise<DrafterEvidence> {
  const draft = draftWord(name);
  const draftMs = (await alone(name)).stepMs;
  const short = await run(`${draft} length=2 verifier=token`, 2);
  const long = await run(`${draft} length=${chainLength} verifier=token`, chainLength);
  const passes = [
    { positions: 1, ms: target.stepMs },
    { positions: 3, ms: passOf(short, draftMs) },
    { positions: 1 + chainLength, ms: passOf(long, draftMs) },
  ];
  const trees = [];
  for (const widths of probedTrees) {
    const tree = await run(`${draft} tree=${widths.join(',')}`, widths.length);
    passes.push({ positions: 1 + nodesOf(widths), ms: passOf(tree, draftMs) });
    trees.push({ widths, acceptance: tree.acceptance });
  }
  const { encodeMsPerToken } = long;
  const costs = { target, draftMs, passes: increasing(passes), encodeMsPerToken };
  return { name, costs, acceptance: long.acceptance, trees };
}

function passOf({ stepMs, draftCallsPerStep }: Probe, draftMs: number): number {
  return stepMs - draftCallsPerStep * draftMs;
}

/** More positions never cost less: where they seem to, that is noise. */
function increasing(passes: readonly { positions: number; ms: number }[]): Costs['passes'] {
  let least = 0;
  return passes
    .toSorted((a, b) => a.positions - b.positions)
    .map(({ positions, ms }) => ({ positions, ms: (least = Math.max(least, ms)) }));
}

async function lowerDrafts(
  drafters: readonly string[],
  models: MethodModels,
  sample: Sample,
  onProbe: (what: string) => void,
): Promise<Lower[]> {
  const [upper, lower] = drafters;
  if (upper === undefined || lower === undefined) return [];
  onProbe(`${lower} drafting for ${upper}`);
  const { chain } = await import('../drafters.ts');
  const found: Lower[] = [];
  for (const length of [2, 3]) {
    const draft = chain(await models.load(lower), { length });
    const method: MethodSession = { target: await models.load(upper), draft, verifier: 'token' };
    const { acceptance, stepMs } = await probe(method, length, sample);
    found.push({ length, stepMs, acceptance: mean(acceptance) });
  }
  return found;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0) / values.length;
}

/** Lossless methods, the most promising first; those without a formula last. */
export function predictions(evidence: Evidence): Prediction[] {
  const { drafters, copies } = evidence;
  const of = (acceptance: readonly number[], nodes: number, costs: Costs): number =>
    predictSpeedup({ acceptance, nodes }, costs);
  const chains = drafters.flatMap(({ name, acceptance, costs }) =>
    acceptance.map((_, i): Prediction => {
      const predicted = of(acceptance.slice(0, i + 1), i + 1, costs);
      return { spec: `${draftWord(name)} length=${i + 1}`, predicted };
    }),
  );
  const trees = drafters.flatMap(({ name, trees: probed, costs }) =>
    probed.flatMap(({ widths, acceptance }) =>
      widths.map((_, i): Prediction => {
        const own = widths.slice(0, i + 1);
        const predicted = of(acceptance.slice(0, i + 1), nodesOf(own), costs);
        return { spec: `${draftWord(name)} tree=${own.join(',')}`, predicted };
      }),
    ),
  );
  const copying = copyLengths.map((length): Prediction => {
    const predicted = of(copies.acceptance.slice(0, length), length, copies.costs);
    return { spec: `max-gram length=${length}`, predicted };
  });
  const known = [...chains, ...trees, ...copying, ...cascades(evidence)];
  const best = (name: string): number =>
    Math.max(
      ...chains.filter(({ spec }) => spec.startsWith(`${draftWord(name)} `)).map(predictedOf),
    );
  const names = drafters.map(({ name }) => name).toSorted((a, b) => best(b) - best(a));
  const adaptive = names.map((name) => ({ spec: `${draftWord(name)} adaptive`, predicted: null }));
  return [...known.toSorted((a, b) => predictedOf(b) - predictedOf(a)), ...adaptive];
}

function predictedOf({ predicted }: Prediction): number {
  return predicted ?? 0;
}

/** The first drafter reviews what the second drafts, until enough tokens are there. */
function cascades({ drafters, lower, target }: Evidence): Prediction[] {
  const [upper, below] = drafters;
  if (upper === undefined || below === undefined) return [];
  const acceptance = mean(upper.acceptance.slice(0, 4));
  // Three encoders: the target's stands in both.
  const encodeMsPerToken =
    upper.costs.encodeMsPerToken + below.costs.encodeMsPerToken - target.encodeMsPerToken;
  return lower.flatMap(({ length, stepMs, acceptance: kept }) =>
    [1, 2].map((reviews): Prediction => {
      const tokens = Math.max(1, Math.round(reviews * chainTokens(kept, length)));
      const all = verticalTokens({ acceptance, lower: kept, reviews, length });
      const ms = reviews * stepMs + passMs(upper.costs.passes, 1 + tokens);
      const predicted = speedupOf(all, ms, { target, encodeMsPerToken });
      const lengths = `${tokens},0/0,${length}`;
      return { spec: `${draftWord(upper.name, below.name)} lengths=${lengths}`, predicted };
    }),
  );
}

/**
 * What to measure: the best of each kind (drafters and shape, whatever the lengths), as formulas may
 * favour a kind as a whole; then the most promising of the rest; and of those without a formula the
 * first.
 */
export function shortlist(predicted: readonly Prediction[], count: number): string[] {
  const known = predicted.filter((one) => one.predicted !== null);
  const kindOf = ({ spec }: Prediction): string => spec.replace(/=[\d,/]+( |$)/g, '');
  const leaders = known.filter(
    (one, i) => known.findIndex((other) => kindOf(other) === kindOf(one)) === i,
  );
  const rest = known.filter((one) => !leaders.includes(one));
  const unknown = predicted.filter((one) => one.predicted === null).slice(0, 1);
  return [...[...leaders, ...rest].slice(0, count), ...unknown].map(({ spec }) => spec);
}

function nodesOf(widths: readonly number[]): number {
  let level = 1;
  return widths.reduce((nodes, width) => nodes + (level *= width), 0);
}
