/** Tokens per second against batch as SVG, both logarithmic. */

export interface Curve {
  label: string;
  /** Per batch. */
  rates: number[];
}

const size = { width: 640, height: 400, left: 70, right: 150, top: 46, bottom: 50 };
const colours = ['#000000', '#0072b2', '#d55e00', '#009e73', '#cc79a7'];

export function throughputSvg(title: string, batches: number[], curves: Curve[]): string {
  const rates = curves.flatMap((curve) => curve.rates);
  const low = 10 ** Math.floor(Math.log10(Math.min(...rates)));
  const high = 10 ** Math.ceil(Math.log10(Math.max(...rates)));
  const width = size.width - size.left - size.right;
  const height = size.height - size.top - size.bottom;
  const last = Math.log2(batches.at(-1)! / batches[0]!) || 1;
  const x = (batch: number): number => size.left + (width * Math.log2(batch / batches[0]!)) / last;
  const y = (rate: number): number =>
    size.top + height * (1 - Math.log10(rate / low) / Math.log10(high / low));
  const text = (at: number, to: number, content: string, rest = ''): string =>
    `<text x="${at.toFixed(1)}" y="${to.toFixed(1)}" ${rest}>${content}</text>`;
  const line = (x1: number, y1: number, x2: number, y2: number): string =>
    `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="#dddddd"/>`;
  const right = size.left + width;
  const bottom = size.top + height;
  const ticks = [1, 2, 5]
    .flatMap((step) => [1, 10, 100, 1000, 10000, 100000].map((power) => step * power))
    .filter((rate) => rate >= low && rate <= high);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}" ` +
      `font-family="DejaVu Sans, sans-serif" font-size="12">`,
    `<rect width="${size.width}" height="${size.height}" fill="#ffffff"/>`,
    text(16, 26, title, 'font-size="15"'),
    ...ticks.map((rate) => line(size.left, y(rate), right, y(rate))),
    ...ticks.map((rate) => text(size.left - 8, y(rate) + 4, String(rate), 'text-anchor="end"')),
    ...batches.map((batch) => text(x(batch), bottom + 18, String(batch), 'text-anchor="middle"')),
    text(size.left + width / 2, bottom + 38, 'maxBatch', 'text-anchor="middle"'),
    text(0, 0, 'tokens per second', `transform="translate(16 ${bottom}) rotate(-90)"`),
    ...curves.flatMap(({ label, rates: own }, i) => {
      const colour = colours[i % colours.length]!;
      const points = own.map((rate, at) => `${x(batches[at]!).toFixed(1)},${y(rate).toFixed(1)}`);
      const row = size.top + 16 + 20 * i;
      return [
        `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        `<line x1="${right + 12}" y1="${row - 4}" x2="${right + 34}" y2="${row - 4}" stroke="${colour}" stroke-width="2"/>`,
        text(right + 40, row, label),
      ];
    }),
    '</svg>\n',
  ].join('\n');
}
