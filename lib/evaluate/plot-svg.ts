/** Quality against cost as SVG: a panel per temperature and figure of quality. */
import type { Point } from './points.ts';
import { linearScale, type Scale } from './plot-scale.ts';
import { seriesOf, type Series, type Shape } from './plot-series.ts';

export const plotFont = 'DejaVu Sans';
const ink = '#111111';

export interface Plot {
  title: string;
  subtitle: string;
  cost: { label: string; of: (point: Point) => number };
}

interface Panel {
  left: number;
  top: number;
  temperature: number;
  quality: { label: string; of: (point: Point) => number };
}

const size = { width: 480, height: 360 };
const margin = { left: 66, right: 14, top: 34, bottom: 50 };
const header = 64;
const legend = { row: 19, character: 6.9, indent: 70 };
const qualities: readonly Panel['quality'][] = [
  { label: 'BLEU', of: ({ bleu }) => bleu },
  { label: 'chrF2', of: ({ chrf }) => chrf },
];

export function plotSvg(points: readonly Point[], plot: Plot): string {
  const temperatures = [...new Set(points.map(({ temperature }) => temperature))];
  const series = seriesOf(points);
  const panels = temperatures.flatMap((temperature, row) =>
    qualities.map((quality, column): Panel => {
      const place = { left: column * size.width, top: header + row * size.height };
      return { ...place, temperature, quality };
    }),
  );
  const longest = Math.max(...series.map(({ label }) => label.length));
  const legendWidth = Math.max(200, legend.indent + legend.character * longest);
  const width = Math.ceil(qualities.length * size.width + legendWidth);
  const tall = Math.max(temperatures.length * size.height, 30 + series.length * legend.row);
  const height = header + tall + 10;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
      `viewBox="0 0 ${width} ${height}" font-family="${plotFont}, sans-serif" font-size="12" fill="${ink}">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(plot.title, { x: 16, y: 26, size: 17 }),
    text(plot.subtitle, { x: 16, y: 48, colour: '#555555' }),
    ...panels.map((panel) => drawPanel(panel, points, series, plot)),
    drawLegend(series, qualities.length * size.width + 18, header + margin.top),
    '</svg>\n',
  ].join('\n');
}

function drawPanel(
  panel: Panel,
  points: readonly Point[],
  series: readonly Series[],
  plot: Plot,
): string {
  const { temperature, quality } = panel;
  const shown = points.filter((point) => point.temperature === temperature);
  const right = panel.left + size.width - margin.right;
  const bottom = panel.top + size.height - margin.bottom;
  const x = linearScale(shown.map(plot.cost.of), panel.left + margin.left, right);
  const y = linearScale(inSight(shown, quality), bottom, panel.top + margin.top);
  const when = temperature === 0 ? 'greedy' : `temperature ${temperature}`;
  const here = { x: panel.left + margin.left, y: panel.top + margin.top };
  return [
    drawAxes(x, y, { ...here, right, bottom }),
    text(`${quality.label}, ${when}`, { x: here.x, y: here.y - 10, size: 13 }),
    text(plot.cost.label, { x: (here.x + right) / 2, y: bottom + 38, anchor: 'middle' }),
    ...series.map((one) =>
      drawSeries(
        one,
        one.points
          .filter((point) => point.temperature === temperature)
          .map((point): Dot => {
            const dot = { x: x.at(plot.cost.of(point)), y: y.at(quality.of(point)) };
            const title = `${point.method}: ${describe(point, quality, plot)}`;
            const below = dot.y > bottom ? `\u2193 ${quality.of(point).toFixed(1)}` : null;
            return { x: dot.x, y: Math.min(dot.y, bottom - 8), title, below };
          }),
      ),
    ),
  ].join('\n');
}

/**
 * The values that the axis covers. A small model alone may be so far below everything else that the
 * rest would shrink to a line: it is then drawn at the bottom, with its value beside it.
 */
function inSight(points: readonly Point[], quality: Panel['quality']): number[] {
  const others = points.filter(({ kind }) => kind !== 'alone').map(quality.of);
  const low = Math.min(...others);
  const range = Math.max(...others) - low;
  const alone = points.filter(({ kind }) => kind === 'alone').map(quality.of);
  return [...others, ...alone.filter((value) => range === 0 || value > low - 1.5 * range)];
}

interface Dot {
  x: number;
  y: number;
  /** Shown by browsers where the pointer rests on it. */
  title: string;
  /** Said beside it where it lies below the panel; null elsewhere. */
  below: string | null;
}

function describe(point: Point, quality: Panel['quality'], plot: Plot): string {
  const cost = plot.cost.of(point).toPrecision(3);
  return `${quality.label} ${quality.of(point).toFixed(2)} at ${cost} ${plot.cost.label}`;
}

function drawAxes(
  x: Scale,
  y: Scale,
  box: { x: number; y: number; right: number; bottom: number },
): string {
  const { x: left, y: top, right, bottom } = box;
  const grid = [
    ...x.ticks.map((tick) => `M${at(x.at(tick), top)}V${round(bottom)}`),
    ...y.ticks.map((tick) => `M${at(left, y.at(tick))}H${round(right)}`),
  ];
  const axes = `M${at(left, top)}V${round(bottom)}H${round(right)}`;
  return [
    `<path d="${grid.join('')}" stroke="#e4e4e4" fill="none"/>`,
    `<path d="${axes}" stroke="#333333" fill="none"/>`,
    ...x.ticks.map((tick) =>
      text(x.label(tick), { x: x.at(tick), y: box.bottom + 17, anchor: 'middle' }),
    ),
    ...y.ticks.map((tick) =>
      text(y.label(tick), { x: box.x - 7, y: y.at(tick) + 4, anchor: 'end' }),
    ),
  ].join('\n');
}

function drawSeries(series: Series, dots: readonly Dot[]): string {
  const { colour, dashed, joined, shape } = series;
  const path = dots.map((dot, i) => `${i === 0 ? 'M' : 'L'}${at(dot.x, dot.y)}`).join('');
  const dashes = dashed ? ' stroke-dasharray="6 3"' : '';
  const curve =
    joined && dots.length > 1
      ? [`<path d="${path}" stroke="${colour}" stroke-width="1.5" fill="none"${dashes}/>`]
      : [];
  return [...curve, drawDots(dots, shape, colour)].join('\n');
}

function drawLegend(series: readonly Series[], left: number, top: number): string {
  return series
    .map(({ label, colour, shape, dashed, joined }, i) => {
      const y = top + i * legend.row;
      const dashes = dashed ? ' stroke-dasharray="6 3"' : '';
      const line = `<path d="M${at(left, y)}L${at(left + 28, y)}" stroke="${colour}"${dashes}/>`;
      const dot = drawDots([{ x: left + 14, y, title: label, below: null }], shape, colour);
      return `${joined ? line : ''}${dot}${text(label, { x: left + 38, y: y + 4, size: 11 })}`;
    })
    .join('\n');
}

function drawDots(dots: readonly Dot[], shape: Shape, colour: string): string {
  const paint = shape === 'cross' ? `stroke="${colour}" stroke-width="2"` : `fill="${colour}"`;
  const values = dots.map(({ x, y, below }) =>
    below === null ? '' : text(below, { x: x + 9, y: y + 4, size: 11, colour }),
  );
  const marks = dots.map((dot) => mark(dot, shape)).join('\n');
  return `<g ${paint}>${marks}</g>${values.join('')}`;
}

function mark({ x, y, title }: Dot, shape: Shape): string {
  const radius = shape === 'diamond' ? 6 : 4;
  const corner = (dx: number, dy: number): string => at(x + dx * radius, y + dy * radius);
  const outlines: Record<Exclude<Shape, 'circle'>, string> = {
    square: `M${corner(-0.9, -0.9)}H${round(x + 0.9 * radius)}V${round(y + 0.9 * radius)}H${round(x - 0.9 * radius)}Z`,
    triangle: `M${corner(0, -1.1)}L${corner(1, 0.8)}L${corner(-1, 0.8)}Z`,
    diamond: `M${corner(0, -1)}L${corner(1, 0)}L${corner(0, 1)}L${corner(-1, 0)}Z`,
    cross: `M${corner(-1, -1)}L${corner(1, 1)}M${corner(-1, 1)}L${corner(1, -1)}`,
  };
  const hint = `<title>${escaped(title)}</title>`;
  if (shape === 'circle') {
    return `<circle cx="${round(x)}" cy="${round(y)}" r="${radius}">${hint}</circle>`;
  }
  return `<path d="${outlines[shape]}">${hint}</path>`;
}

function text(
  what: string,
  place: { x: number; y: number; size?: number; anchor?: string; colour?: string },
): string {
  const { x, y, size = 12, anchor = 'start', colour = ink } = place;
  const styles = [
    size === 12 ? '' : ` font-size="${size}"`,
    anchor === 'start' ? '' : ` text-anchor="${anchor}"`,
    colour === ink ? '' : ` fill="${colour}"`,
  ];
  return `<text x="${round(x)}" y="${round(y)}"${styles.join('')}>${escaped(what)}</text>`;
}

function at(x: number, y: number): string {
  return `${round(x)} ${round(y)}`;
}

function round(value: number): number {
  return Math.round(10 * value) / 10;
}

function escaped(what: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
  };
  return what.replace(/[&<>"]/g, (character) => entities[character]!);
}
