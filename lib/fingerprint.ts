/** Tells one model from another by what it computes: weights, type and instruction set alike. */
import { createHash } from 'node:crypto';
import type { T5Model } from './model.ts';

const probeLength = 16;

/**
 * 16 hex digits, equal for equal weights, dtype and instruction set. One pass over 16 tokens covers
 * every layer and the head, but only the probed rows of an untied input embedding.
 * Of a disposed model, too, as long as a session is open on it. Errors: ERR_CLOSED.
 */
export async function fingerprintOf(model: T5Model): Promise<string> {
  const { vocabSize } = model.config;
  const probe = Int32Array.from({ length: probeLength }, (_, i) =>
    Math.floor(((i + 0.5) * vocabSize) / probeLength),
  );
  const lengths = Int32Array.of(probeLength);
  const { native, release } = model.hold();
  try {
    const logits = await native.logits(probe, lengths, probe, lengths);
    return createHash('sha256')
      .update(`${model.parameters} ${model.dtype} `)
      .update(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength))
      .digest('hex')
      .slice(0, 16);
  } finally {
    release();
  }
}
