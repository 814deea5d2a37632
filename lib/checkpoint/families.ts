/** The model families that are read, and the published defaults in which they differ. */
import { field, fieldError, stringField } from './fields.ts';
import type { JsonFile } from './json-file.ts';

/** What a checkpoint is to the loader: ByT5 and CodeT5 are 't5'. */
export type ModelType = 't5' | 'mt5' | 'umt5';

/** Values of keys that config.json leaves out. */
export interface FamilyDefaults {
  vocabSize: number;
  dFf: number;
  numLayers: number;
  numHeads: number;
  feedForwardProj: string;
}

const multilingual: FamilyDefaults = {
  vocabSize: 250112,
  dFf: 1024,
  numLayers: 8,
  numHeads: 6,
  feedForwardProj: 'gated-gelu',
};

export const familyDefaults: Readonly<Record<ModelType, FamilyDefaults>> = {
  t5: { vocabSize: 32128, dFf: 2048, numLayers: 6, numHeads: 8, feedForwardProj: 'relu' },
  mt5: multilingual,
  umt5: multilingual,
};

/** `model_type` -> family. ByT5 and CodeT5 differ from T5 in the tokenizer only. */
const families: Readonly<Record<string, ModelType>> = {
  t5: 't5',
  byt5: 't5',
  codet5: 't5',
  mt5: 'mt5',
  umt5: 'umt5',
};

/** `architectures` of files without `model_type`, as early converters wrote them. */
const architectures: Readonly<Record<string, ModelType>> = {
  T5ForConditionalGeneration: 't5',
  T5WithLMHeadModel: 't5',
  MT5ForConditionalGeneration: 'mt5',
  UMT5ForConditionalGeneration: 'umt5',
};

/** The family of a checkpoint; a type that is not of the T5 kind is ERR_CONFIG and named. */
export function modelFamily(config: JsonFile): ModelType {
  const type = stringField(config, 'model_type');
  if (type !== undefined) {
    if (Object.hasOwn(families, type)) return families[type] as ModelType;
    throw fieldError(config, 'model_type', `one of ${Object.keys(families).join(', ')}`, type);
  }
  const names = field(config, 'architectures');
  if (names === undefined) return 't5';
  const name: unknown = Array.isArray(names) ? names[0] : names;
  if (typeof name === 'string' && Object.hasOwn(architectures, name)) {
    return architectures[name] as ModelType;
  }
  const known = Object.keys(architectures).join(', ');
  throw fieldError(config, 'architectures', `one of ${known} (there is no model_type)`, names);
}
