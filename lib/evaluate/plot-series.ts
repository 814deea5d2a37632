/** Which points belong together in a plot, and how each group is drawn. */
import type { Point } from './points.ts';

export interface Series {
  label: string;
  points: Point[];
  /** Whether its points are joined, in the order of their parameters. */
  joined: boolean;
  colour: string;
  shape: Shape;
  dashed: boolean;
}

export type Shape = 'circle' | 'square' | 'triangle' | 'diamond' | 'cross';

/** Distinct also to most colour-blind eyes; shapes tell apart what the colours do not. */
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#a6761d', '#56b4e9', '#6a51a3'];
const shapes: readonly Shape[] = ['circle', 'square', 'triangle'];

/** The same series have the same looks in every panel, so they are made of all points at once. */
export function seriesOf(points: readonly Point[]): Series[] {
  const groups = new Map<string, Point[]>();
  for (const point of points) {
    const label = labelOf(point);
    groups.set(label, [...(groups.get(label) ?? []), point]);
  }
  let curves = 0;
  return [...groups].map(([label, group]): Series => {
    const { kind, parameter } = group[0]!;
    const joined = parameter !== null;
    const common = { label, points: group.toSorted(byParameter), joined };
    const dashed = kind === 'cascade';
    if (kind === 'target') return { ...common, colour: '#000000', shape: 'diamond', dashed };
    if (kind === 'alone') return { ...common, colour: '#777777', shape: 'diamond', dashed };
    if (kind === 'draft') return { ...common, colour: '#444444', shape: 'cross', dashed };
    const number = curves++;
    const colour = colours[number % colours.length]!;
    return { ...common, colour, shape: shapes[Math.floor(number / colours.length) % 3]!, dashed };
  });
}

function labelOf({ kind, curve }: Point): string {
  if (kind === 'target') return 'target alone';
  return kind === 'draft' ? 'lossless, any draft' : curve;
}

function byParameter(a: Point, b: Point): number {
  // Not a difference: infinities have none.
  const [x, y] = [a.parameter ?? 0, b.parameter ?? 0];
  return x < y ? -1 : Number(x > y);
}
