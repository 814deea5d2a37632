/** From what names a model to what loading it needs: its files' tables and its tokenizer. */
import { nativeConfig, readCheckpoint, type T5Config } from './checkpoint.ts';
import { resolveSource, type ResolveOptions } from './checkpoint/hub.ts';
import { publishedConfig } from './checkpoint/published.ts';
import type { NativeConfig, NativeWeights } from './native.ts';
import { Tokenizer } from './tokenizer.ts';

/** A model of which nothing but the weights is read. */
export interface Located {
  config: T5Config;
  native: NativeConfig;
  weights: NativeWeights;
  tokenizer: Tokenizer | null;
  warnings: string[];
}

/** Weights of `random:` models are a function of this seed, so that runs can be compared. */
const randomSeed = 20240530n;

/** `source` as T5Model.load() takes it, whose errors this throws. Downloads what is not there yet. */
export async function locate(source: string, options: ResolveOptions = {}): Promise<Located> {
  if (source.startsWith('random:')) {
    const config = publishedConfig(source.slice('random:'.length));
    const weights = { seed: randomSeed };
    return { config, native: nativeConfig(config), weights, tokenizer: null, warnings: [] };
  }
  const folder = await resolveSource(source, options);
  const { config, native, weights, warnings } = await readCheckpoint(folder);
  // The ids that the model has: config.json may leave their number to the family's default.
  const tokenizer = await Tokenizer.load(folder, config.vocabSize);
  return { config, native, weights, tokenizer, warnings };
}
