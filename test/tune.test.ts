/** speccascade tune: what it predicts from costs, what it decides, and what it prints. */
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../lib/cli/options.ts';
import { parseMethod, sourcesOf } from '../lib/cli/method-spec.ts';
import { Terminal } from '../lib/cli/terminal.ts';
import { commandOf, typescriptOf } from '../lib/cli/tune-code.ts';
import { ruleSpecs } from '../lib/cli/tune-measure.ts';
import { predictions, shortlist, type Evidence } from '../lib/cli/tune-plan.ts';
import type { TuneReport } from '../lib/cli/tune-report.ts';
import { tune } from '../lib/cli/tune.ts';
import { decide, type Candidate } from '../lib/evaluate/tune-decide.ts';
import { expectedTokens, passMs, predictSpeedup } from '../lib/evaluate/tune-predict.ts';
import { acceptanceByDepth, type Probe } from '../lib/evaluate/tune-probe.ts';

const alone: Probe = {
  ...{ stepMs: 10, draftCallsPerStep: 0, encodeMsPerToken: 0, tokensPerStep: 1, acceptance: [] },
};

/** A drafter of so many milliseconds, and a target whose pass costs `slope` more per position. */
function evidence(draftMs: number, acceptance: number, slope = 0): Evidence {
  const passes = [1, 9].map((positions) => ({ positions, ms: 10 + slope * (positions - 1) }));
  const costs = { target: alone, draftMs, passes, encodeMsPerToken: 0 };
  const chain = new Array<number>(8).fill(acceptance);
  return {
    target: alone,
    drafters: [{ name: 'small', costs, acceptance: chain, trees: [] }],
    copies: { acceptance: new Array<number>(8).fill(0), costs: { ...costs, draftMs: 0 } },
    lower: [],
  };
}

const best = (found: Evidence) => predictions(found)[0]!;

describe('predictions', () => {
  it('follow the formula of chains', () => {
    const shape = { acceptance: [0.8, 0.8, 0.8], nodes: 3 };
    expect(expectedTokens(shape)).toBeCloseTo((1 - 0.8 ** 4) / (1 - 0.8), 12);
    const { costs } = evidence(1, 0.8).drafters[0]!;
    expect(predictSpeedup(shape, costs)).toBeCloseTo(2.952 / (3 * 0.1 + 1), 12);
  });

  it('choose long chains where drafting is cheap and right, short ones where it is not', () => {
    expect(best(evidence(0.1, 0.9))).toMatchObject({ spec: 'draft=small length=8' });
    expect(best(evidence(0.1, 0.9)).predicted).toBeGreaterThan(4);
    expect(best(evidence(2, 0.6)).spec).toMatch(/^draft=small length=[1-3]$/);
    expect(best(evidence(9, 0.1, 1)).predicted).toBeLessThan(1);
  });

  it('count what more positions cost the target', () => {
    const free = best(evidence(0.1, 0.8)).predicted!;
    expect(best(evidence(0.1, 0.8, 2)).predicted!).toBeLessThan(free);
    const passes = [
      { positions: 1, ms: 10 },
      { positions: 3, ms: 14 },
      { positions: 5, ms: 15 },
    ];
    expect([1, 2, 3, 4, 7].map((n) => passMs(passes, n))).toEqual([10, 12, 14, 14.5, 16]);
  });

  it('are measured kind by kind, best first, with adaptive lengths besides', () => {
    const specs = shortlist(predictions(evidence(1, 0.8)), 3);
    expect(specs[0]).toMatch(/^draft=small length=/);
    expect(specs[1]).toMatch(/^max-gram length=/);
    expect(specs[2]).toMatch(/^draft=small length=/);
    expect(specs[3]).toBe('draft=small adaptive');
    expect(ruleSpecs(predictions(evidence(1, 0.8)), 0)[0]).toMatch(
      /^draft=small length=\d rule=diff alpha=/,
    );
  });
});

describe('drafters', () => {
  /** As evidence(), of drafters whose models lie at these places. */
  function named(...names: string[]): Evidence {
    const found = evidence(1, 0.8);
    const [one] = found.drafters;
    const lower = [{ length: 2, acceptance: 0.5, stepMs: 1 }];
    return { ...found, lower, drafters: names.map((name) => ({ ...one!, name })) };
  }
  const all = (found: Evidence): string[] => predictions(found).map(({ spec }) => spec);

  it('may lie anywhere', () => {
    const odd = named('my own/a+b', '/c\\d');
    const specs = [...all(odd), ...ruleSpecs(predictions(odd), 0)].flatMap(parseMethod);
    const sources = specs.map(({ values }) => sourcesOf(values.draft ?? ''));
    expect(new Set(sources.map((each) => each.join(' and ')))).toEqual(
      new Set(['my own/a+b', '/c\\d', 'my own/a+b and /c\\d', '']),
    );
    const cascade = specs.find(({ values }) => values.lengths !== undefined)!;
    const names = {
      ...{ target: 'large', sourceOf: (name: string) => name, prefix: '', bigrams: null },
      ...{ device: 'auto', dtype: 'auto', threads: undefined, temperature: 0 },
      ...{ maxBatch: 16, maxNewTokens: 128 },
    };
    expect(commandOf(cascade.id, names)).toContain(
      `--draft 'my own/a+b' --draft '/c\\d' --lengths`,
    );
    expect(typescriptOf(cascade.values, names)).toContain('T5Model.load("my own/a+b")');
  });

  it('whose names end in digits are of different kinds', () => {
    const found = { ...named('small1', 'small2'), lower: [] };
    const drafts = shortlist(predictions(found), 2).map((spec) => spec.split(' ')[0]);
    expect(drafts.slice(0, 2)).toEqual(['draft=small1', 'draft=small2']);
  });
});

describe('acceptance by depth', () => {
  it('is of the steps that got there, ends of outputs left out', () => {
    const steps = [
      { tokens: 1, accepted: 0 }, // refused at once
      { tokens: 2, accepted: 1 }, // refused at depth 2
      { tokens: 3, accepted: 2 }, // everything accepted, and a bonus token
      { tokens: 1, accepted: 1 }, // an accepted end token: nothing is known of depth 2
    ];
    expect(acceptanceByDepth(steps, 2)).toEqual([3 / 4, 1 / 2]);
    expect(acceptanceByDepth([], 2)).toEqual([0, 0]);
  });
});

function candidate(method: string, median: number, own: Partial<Candidate> = {}): Candidate {
  const speedup = { median, min: median, max: median };
  return { method, lossless: true, speedup, bleuChange: null, ...own };
}

describe('the decision', () => {
  const lossless = { maxBleuLoss: null };
  const change = (mean: number, low = mean) => ({ mean, low, high: mean });
  const rule = candidate('rule', 2, { lossless: false, bleuChange: change(-0.4) });

  it('is the fastest lossless method', () => {
    const found = decide([candidate('a', 1.2), candidate('b', 1.5), rule], lossless);
    expect(found).toMatchObject({ speculate: true, choice: { method: 'b' }, caution: null });
  });

  it('is not to speculate where nothing gains', () => {
    const found = decide([candidate('a', 0.9), candidate('b', 1.04), rule], lossless);
    expect(found).toMatchObject({ speculate: false, best: { method: 'b' } });
    expect(found.speculate || found.reason).toContain('1.04x');
    expect(decide([], lossless)).toMatchObject({ speculate: false, best: null });
  });

  it('takes a rule within the allowed loss, and says what is unsure', () => {
    const plain = candidate('a', 1.2);
    expect(decide([plain, rule], { maxBleuLoss: 0.5 })).toMatchObject({
      ...{ speculate: true, choice: { method: 'rule' }, caution: null },
    });
    expect(decide([plain, rule], { maxBleuLoss: 0.3 })).toMatchObject({ choice: { method: 'a' } });
    const unsure = { ...rule, bleuChange: change(-0.4, -1) };
    const found = decide([plain, unsure], { maxBleuLoss: 0.5 });
    expect(found.speculate && found.caution).toContain('-1.00');
    const slow = candidate('a', 1.2, { speedup: { median: 1.2, min: 0.8, max: 1.3 } });
    const doubt = decide([slow], lossless);
    expect(doubt.speculate && doubt.caution).toContain('0.80x');
  });
});

describe('what to paste', () => {
  const names = {
    target: 'large',
    sourceOf: (name: string) => `models/${name}`,
    prefix: 'translate English to German: ',
    ...{ device: 'auto', dtype: 'auto', temperature: 0, bigrams: null },
    ...{ threads: undefined, maxBatch: 16, maxNewTokens: 128 },
  };
  const values = (spec: string) => parseMethod(spec)[0]!.values;

  it.each([
    ['draft=base length=3', 'chain(drafter, { length: 3 })'],
    ['draft=base tree=4,2', 'tree(drafter, { widths: [4, 2] })'],
    ['draft=base adaptive', 'adaptive(chain(drafter, { length: 8 }))'],
    ['max-gram length=2', 'maxGram({ length: 2 })'],
    [
      'draft=base+small lengths=4,0/0,2',
      'csDraft([drafter, drafter2], { lengths: [[4, 0], [0, 2]], maxGram: false })',
    ],
    ['draft=base length=3 rule=opt alpha=0.1', 'rule: opt({ alpha: 0.1 })'],
  ])('%s', (spec, code) => {
    expect(typescriptOf(values(spec), names)).toContain(code);
  });

  it.each([
    ['large', names.prefix, 'generate("translate English to German: " + text)', ''],
    ['large', '', 'generate(text)', " --prefix ''"],
    ['own', '', 'generate(text)', ''],
    ['own', 'say "it": ', 'generate("say \\"it\\": " + text)', ` --prefix 'say "it": '`],
  ])('for %s begins every text with %j, as it was measured', (target, prefix, code, option) => {
    const all = { ...names, target, prefix };
    for (const spec of ['draft=base length=3', null]) {
      const own = spec === null ? null : values(spec);
      expect(typescriptOf(own, all)).toContain(`const result = await session.${code};\n`);
      expect(commandOf(spec, all)).toMatch(
        new RegExp(`^speccascade generate --target models/${target}${option} --(no-)?draft`),
      );
    }
  });

  it('says on what, in which type and how it was measured', () => {
    const own = { ...names, device: 'cpu', dtype: 'f32', temperature: 0.8, bigrams: 'b/igrams' };
    const code = typescriptOf(values('max-gram length=2'), own);
    expect(code).toContain('T5Model.load("models/large", { device: "cpu", dtype: "f32" })');
    expect(code).toContain('readFile("b/igrams")');
    const packed = typescriptOf(values('max-gram length=2'), { ...own, bigrams: 'b.gz' });
    expect(packed).toContain('gunzipSync(await readFile("b.gz"))');
    const other = typescriptOf(values('max-gram length=2'), { ...own, bigrams: 'b.zst' });
    expect(other).toContain('zstdDecompressSync(await readFile("b.zst"))');
    expect(code).toContain('draft: maxGram({ length: 2, bigrams })');
    expect(code).toContain('sampling: { temperature: 0.8 }');
    expect(typescriptOf(values('draft=base lengths=4,4/0,3'), own)).toContain(
      'csDraft([drafter], { lengths: [[4, 4], [0, 3]], maxGram: { bigrams } })',
    );
    expect(typescriptOf(values('draft=base length=3'), own)).not.toContain('igrams');
    expect(typescriptOf(null, own)).toContain('createSession({ target, sampling');
    expect(commandOf('draft=base length=3', own)).toBe(
      'speccascade generate --target models/large --device cpu --dtype f32 --temperature 0.8 ' +
        '--draft models/base --length 3',
    );
  });

  it('says the sizes it was measured with, where they are not the usual ones', () => {
    const own = { ...names, threads: 2, maxBatch: 1, maxNewTokens: 40 };
    const code = typescriptOf(values('draft=base length=3'), own);
    expect(code).toContain('T5Model.load("models/base", { threads: 2 })');
    expect(code).toContain('{ length: 3 }), maxNewTokens: 40, maxBatch: 1 });');
    expect(commandOf(null, own)).toBe(
      'speccascade generate --target models/large --threads 2 --max-new-tokens 40 --batch 1 ' +
        '--no-draft',
    );
  });

  it('is a command line, and for not speculating one too', () => {
    expect(commandOf('draft=base+small lengths=4,0/0,2', names)).toBe(
      'speccascade generate --target models/large --draft models/base --draft models/small ' +
        '--lengths 4,0/0,2',
    );
    expect(commandOf(null, names)).toBe('speccascade generate --target models/large --no-draft');
    expect(typescriptOf(null, names)).toContain('createSession({ target })');
    const spaced = commandOf('draft=a length=1', {
      ...{ ...names, target: 'b', prefix: '' },
      sourceOf: (name) => `it's ${name}`,
    });
    expect(spaced).toContain(`--draft 'it'\\''s a'`);
  });
});

describe('the command', () => {
  async function run(argv: string[]): Promise<string> {
    const out = new PassThrough();
    const terminal = new Terminal(out as never, new PassThrough() as never);
    const { signal } = new AbortController();
    expect(await tune.run([...argv, '--quiet'], { terminal, signal })).toBe(0);
    return String(out.read());
  }

  const small = ['--target', 'base', '--draft', 'small', '--limit', '10', '--parts', '2'];

  it('measures what it recommends', async () => {
    const report = JSON.parse(await run([...small, '--json', '--candidates', '2'])) as TuneReport;
    const { evidence: found, measured, decision } = report;
    expect(found.target.stepMs).toBeGreaterThan(0);
    expect(found.drafters[0]!.acceptance[0]).toBeGreaterThan(0.3);
    expect(measured).toHaveLength(3);
    for (const { bleuChange } of measured) expect(bleuChange!.mean).toBeCloseTo(0, 12);
    // Which it is depends on the machine; that it is what was measured does not.
    if (decision.speculate) {
      expect(decision.choice).toEqual(report.confirmed);
      expect(decision.choice.speedup.median).toBeGreaterThanOrEqual(1.05);
    } else expect(decision.best!.speedup.median).toBeLessThan(1.05);
  });

  it('prints the evidence, at a temperature and with rules too', async () => {
    const argv = [...small, '--temperature', '1', '--candidates', '1', '--max-bleu-loss', '50'];
    const text = await run(argv);
    expect(text).toContain('temperature 1; 10 texts in 2 parts');
    expect(text).toContain('goal: fastest within 50 BLEU');
    expect(text).toContain('rule=opt alpha=');
    expect(text).toMatch(/^Recommended: /m);
    expect(text).toContain('createSession({ target');
    expect(text).toContain('maxBatch: 1 });');
    expect(text).toMatch(/^speccascade generate .*--batch 1 /m);
    expect(text).toContain('session.generate("translate English to German: " + text)');
  });

  it('refuses goals that exclude each other, or that nothing can tell', async () => {
    const both = run(['--goal', 'lossless', '--max-bleu-loss', '1']);
    await expect(both).rejects.toThrow(UsageError);
    const blind = run(['--input', 'a.txt', '--max-bleu-loss', '1']);
    await expect(blind).rejects.toThrow('needs --references');
    await expect(run(['--input', '/none.txt'])).rejects.toMatchObject({ code: 'ERR_IO' });
    const parts = run(['--limit', '2', '--parts', '3']);
    await expect(parts).rejects.toThrow('--parts 3');
  });
});
