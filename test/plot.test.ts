/** Plots: scales, which points are joined, well-formed SVG, and text in the PNG without fonts. */
import { describe, expect, it } from 'vitest';
import { pngOf } from '../lib/evaluate/plot-png.ts';
import { linearScale } from '../lib/evaluate/plot-scale.ts';
import { seriesOf } from '../lib/evaluate/plot-series.ts';
import { plotSvg } from '../lib/evaluate/plot-svg.ts';
import type { Point } from '../lib/evaluate/points.ts';

const same = { median: 1, min: 1, max: 1 };

function point(own: Partial<Point>): Point {
  return {
    ...{ method: 'a', curve: 'a', parameter: null, kind: 'rule', temperature: 0 },
    ...{ texts: 1, tokens: 1, bleu: 20, chrf: 40, bleuChange: null, acceptanceRate: null },
    ...{ blockEfficiency: null, deferralRate: null, targetCallsPerToken: 1 },
    ...{ draftCallsPerToken: [], msPerToken: same, speedup: same },
    ...own,
  };
}

const points = [
  point({ kind: 'target', curve: 'target', bleu: 30 }),
  point({ curve: 'opt <&"> 1', parameter: Infinity, targetCallsPerToken: 0.2 }),
  point({ curve: 'opt <&"> 1', parameter: 0.1, targetCallsPerToken: 0.4, bleu: 25 }),
  point({ curve: 'opt <&"> 1', parameter: -Infinity, targetCallsPerToken: 0.6, temperature: 1 }),
];

const cost = { label: 'calls', of: (one: Point) => one.targetCallsPerToken };

describe('a scale', () => {
  it('has round ticks that cover the values', () => {
    const { at, ticks, label } = linearScale([0.21, 0.98], 100, 500);
    expect(ticks.map(label)).toEqual(['0.2', '0.4', '0.6', '0.8', '1.0']);
    expect(at(0.21)).toBeGreaterThan(100);
    expect(at(0.98)).toBeLessThan(500);
  });

  it('does not divide by a range of zero', () => {
    const { at, ticks } = linearScale([26.1, 26.1], 0, 100);
    expect(at(26.1)).toBeCloseTo(50);
    expect(ticks.length).toBeGreaterThan(1);
    expect(linearScale([0], 0, 1).ticks.every(Number.isFinite)).toBe(true);
  });
});

describe('a plot', () => {
  it('joins a curve in the order of its parameters, infinities included', () => {
    const [target, curve] = seriesOf(points);
    expect(target).toMatchObject({ label: 'target alone', joined: false });
    expect(curve!.joined).toBe(true);
    expect(curve!.points.map(({ parameter }) => parameter)).toEqual([-Infinity, 0.1, Infinity]);
  });

  it('is well-formed, whatever stands in names', () => {
    const svg = plotSvg(points, { title: 'T & <U>', subtitle: '"x"', cost });
    expect(openTags(svg)).toEqual([]);
    expect(svg).toContain('opt &lt;&amp;&quot;&gt; 1');
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    expect(svg.match(/<circle/g)).toHaveLength(3 * 2 + 1); // two figures each, and the legend
  });

  it('shows a model far below the rest at the bottom, with its value', () => {
    const far = point({ kind: 'alone', curve: 'alone=small', bleu: 3.21, targetCallsPerToken: 0 });
    const near = point({ kind: 'alone', curve: 'alone=base', bleu: 19, targetCallsPerToken: 0 });
    const greedy = points.filter(({ temperature }) => temperature === 0);
    const svg = plotSvg([...greedy, far, near], { title: '', subtitle: '', cost });
    expect(svg.match(/\u2193 [0-9.]+/g)).toEqual(['\u2193 3.2']);
  });

  it('has its text in the PNG on a machine without fonts', async (context) => {
    const svg = plotSvg(points, { title: 'Title', subtitle: '', cost });
    const png = await pngOf(svg).catch((error: Error) => context.skip(error.message));
    expect([...png.subarray(0, 8)]).toEqual([137, 80, 78, 71, 13, 10, 26, 10]);
    // The same picture without its texts is another one: they were drawn.
    const bare = await pngOf(svg.replace(/<text[^]*?<\/text>/g, ''));
    expect(png.length).toBeGreaterThan(bare.length + 1000);
  });
});

/** Elements left open, or closed in the wrong order, of a document of plain tags. */
function openTags(xml: string): string[] {
  const open: string[] = [];
  for (const [, end, name, own] of xml.matchAll(/<(\/?)(\w+)[^<>]*?(\/?)>/g)) {
    if (end === '/' && open.at(-1) === name) open.pop();
    else if (own !== '/') open.push(`${end}${name}`);
  }
  return open;
}
