/** A model that computes no numbers for some inputs. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { T5Model } from '../../lib/index.ts';
import { tempFolder } from './checkpoint-builder.ts';
import { goldenFolder } from './golden-files.ts';
import { device } from './models.ts';

/** The golden checkpoint 'gated-untied' with an embedding of NaN for one token. */
export async function loadWithNaN(token: number): Promise<T5Model> {
  const from = goldenFolder('gated-untied');
  const weights = readFileSync(path.join(from, 'model.safetensors'));
  const headerEnd = 8 + Number(weights.readBigUInt64LE(0));
  const header = JSON.parse(weights.toString('utf8', 8, headerEnd)) as Record<
    string,
    { shape: number[]; data_offsets: [number, number] }
  >;
  const { shape, data_offsets: offsets } = header['shared.weight']!;
  const width = shape[1]!;
  for (let i = 0; i < width; i += 1) {
    weights.writeFloatLE(NaN, headerEnd + offsets[0] + 4 * (token * width + i));
  }
  const config = readFileSync(path.join(from, 'config.json'));
  const folder = await tempFolder({ 'config.json': config, 'model.safetensors': weights });
  return T5Model.load(folder, { device, dtype: 'f32' });
}
