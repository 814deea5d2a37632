/** Tells one model from another by what it computes: weights, type and instruction set alike. */
import { createHash } from 'node:crypto';
import type { T5Model } from './model.ts';

const probeLength = 16;

/**
 * The same for the same weights in the same type, on processors that give the same bits; 16
 * hexadecimal digits. One pass over a few tokens: through every layer and the whole head, but only
 * the probed rows of an input embedding that the head does not share. Errors: ERR_CLOSED.
 */
export async function fingerprintOf(model: T5Model): Promise<string> {
  const { vocabSize } = model.config;
  const probe = Array.from({ length: probeLength }, (_, i) =>
    Math.floor(((i + 0.5) * vocabSize) / probeLength),
  );
  const { data } = await model.logits([probe], [probe]);
  return createHash('sha256')
    .update(`${model.parameters} ${model.dtype} `)
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex')
    .slice(0, 16);
}
