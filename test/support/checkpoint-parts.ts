/** The bytes of small safetensors files, sound and broken, and a configuration to go with them. */
export interface BuiltTensor {
  name: string;
  dtype: string;
  shape: number[];
}

/** A header entry as a file holds it; tests put anything into it. */
export interface HeaderEntry {
  dtype: unknown;
  shape: unknown;
  data_offsets: unknown;
}

/** config.json of a model with 2 + 2 layers of width 8. */
export const tinyConfig = {
  model_type: 't5',
  vocab_size: 16,
  d_model: 8,
  d_kv: 4,
  d_ff: 12,
  num_layers: 2,
  num_heads: 2,
  feed_forward_proj: 'relu',
  tie_word_embeddings: true,
  decoder_start_token_id: 0,
  eos_token_id: 1,
  pad_token_id: 0,
};

/** A few tensors with the right names; binding and shapes are checked elsewhere. */
export const tinyTensors: BuiltTensor[] = [
  { name: 'shared.weight', dtype: 'F32', shape: [16, 8] },
  { name: 'encoder.block.0.layer.0.SelfAttention.q.weight', dtype: 'F16', shape: [8, 8] },
  { name: 'decoder.final_layer_norm.weight', dtype: 'BF16', shape: [8] },
];

const elementBytes: Record<string, number> = { F32: 4, F16: 2, BF16: 2, F64: 8, I64: 8, I8: 1 };

/** Header entries of tensors that lie one behind the other, and the bytes they take. */
export function layOut(tensors: readonly BuiltTensor[]): {
  header: Record<string, HeaderEntry>;
  bytes: number;
} {
  const header: Record<string, HeaderEntry> = {};
  let bytes = 0;
  for (const { name, dtype, shape } of tensors) {
    const size = shape.reduce((a, b) => a * b, elementBytes[dtype] as number);
    header[name] = { dtype, shape, data_offsets: [bytes, bytes + size] };
    bytes += size;
  }
  return { header, bytes };
}

/** A safetensors file of a header (as an object or as text) and `dataBytes` zero bytes. */
export function safetensors(
  header: unknown,
  dataBytes: number,
  claimedLength?: bigint,
): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(
    typeof header === 'string' ? header : JSON.stringify(header),
  );
  const file = new Uint8Array(8 + text.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, claimedLength ?? BigInt(text.length), true);
  file.set(text, 8);
  return file;
}

/** A sound file of these tensors. */
export function soundFile(
  tensors: readonly BuiltTensor[] = tinyTensors,
  metadata: unknown = { format: 'pt' },
): Uint8Array<ArrayBuffer> {
  const { header, bytes } = layOut(tensors);
  return safetensors({ __metadata__: metadata, ...header }, bytes);
}
