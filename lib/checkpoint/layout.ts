/** What the names and dtypes of the tensors say about a checkpoint. */
import type { NativeTensor, TensorDtype } from '../native.ts';
import type { T5Config } from './config.ts';
import { checkpointError, show } from './messages.ts';
import type { LocatedTensor, WeightTable } from './weights.ts';

/** Names a T5 model's own tensors start with. */
const modelTensor = /^(?:shared|lm_head|encoder|decoder)\..*\.?weight$/;

const readableDtypes: ReadonlySet<string> = new Set<TensorDtype>(['F32', 'F16', 'BF16']);

/** The tensors the native side gets: those with a dtype it reads. */
export function nativeTensors(table: WeightTable, warnings: string[]): NativeTensor[] {
  if (!table.tensors.some(({ name }) => modelTensor.test(name))) {
    const names = table.tensors.slice(0, 3).map(({ name }) => show(name));
    throw checkpointError(
      table.files[0] ?? '',
      `expected the tensors of a T5 model (shared.weight, encoder.block.0...), ` +
        `received ${names.join(', ')}${table.tensors.length > 3 ? ', ...' : ''}`,
    );
  }
  return table.tensors.filter((tensor) => isReadable(table, tensor, warnings));
}

function isReadable(
  table: WeightTable,
  tensor: LocatedTensor,
  warnings: string[],
): tensor is LocatedTensor & { dtype: TensorDtype } {
  if (readableDtypes.has(tensor.dtype)) return true;
  const where = `${table.files[tensor.file]}: tensor ${show(tensor.name)}`;
  if (modelTensor.test(tensor.name)) {
    throw checkpointError(where, `expected dtype F32, F16 or BF16, received ${tensor.dtype}`);
  }
  warnings.push(`${where}: not used (dtype ${tensor.dtype})`);
  return false;
}

/** Whether every layer has its own relative bias: UMT5 by type, others by their tensors. */
export function hasBiasInEveryLayer(
  config: T5Config,
  tensors: readonly { name: string }[],
): boolean {
  if (config.modelType === 'umt5') return true;
  if (Math.max(config.numLayers, config.numDecoderLayers) === 1) return false;
  const names = new Set(tensors.map(({ name }) => name));
  const has = (stack: string, layers: number): boolean =>
    Array.from({ length: layers }, (_, i) => i).every((i) =>
      names.has(`${stack}.block.${i}.layer.0.SelfAttention.relative_attention_bias.weight`),
    );
  return has('encoder', config.numLayers) && has('decoder', config.numDecoderLayers);
}

/** Readable as it is, but not what the configuration leads one to expect. */
export function layoutWarnings(
  config: T5Config,
  configFile: string,
  tensors: readonly { name: string }[],
  scaleIsExplicit: boolean,
): string[] {
  const hasHead = tensors.some(({ name }) => name === 'lm_head.weight');
  const warnings: string[] = [];
  if (!config.tieWordEmbeddings && !hasHead) {
    warnings.push(
      `${configFile}: tie_word_embeddings is false, but there is no lm_head.weight: ` +
        'shared.weight is used for the output',
    );
  }
  if (config.modelType === 'mt5' && config.tieWordEmbeddings && hasHead && !scaleIsExplicit) {
    warnings.push(
      `${configFile}: tie_word_embeddings is true beside an lm_head.weight and ` +
        'scale_decoder_outputs is absent: the decoder output is scaled by d_model^-0.5. ' +
        'If this mT5 was saved by transformers 5, set scale_decoder_outputs to false',
    );
  }
  return warnings;
}
