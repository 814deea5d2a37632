/** SVG to PNG, with a font of our own: the same picture on machines that have none. */
import { fileURLToPath } from 'node:url';
import type * as Renderer from '@resvg/resvg-js';
import { SpeccascadeError } from '../errors.ts';
import { plotFont } from './plot-svg.ts';

/** From lib/evaluate and from dist/evaluate alike. */
const font = fileURLToPath(
  new URL('../../lib/evaluate/font/DejaVuSans-subset.ttf', import.meta.url),
);

/** Twice the size of the SVG, for dense screens. ERR_DEVICE: no renderer for this platform. */
export async function pngOf(svg: string): Promise<Buffer> {
  const { Resvg } = await loadRenderer();
  const picture = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: 2 },
    font: { fontFiles: [font], loadSystemFonts: false, defaultFontFamily: plotFont },
  });
  return picture.render().asPng();
}

async function loadRenderer(): Promise<typeof Renderer> {
  try {
    return await import('@resvg/resvg-js');
  } catch (cause) {
    const problem = (cause as Error).message.split('\n', 1)[0]!;
    const advice = 'the SVG has the same picture';
    throw new SpeccascadeError('ERR_DEVICE', `no PNG renderer (${problem}); ${advice}`, { cause });
  }
}
