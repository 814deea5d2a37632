/** The models of a command that decodes with several: each is loaded once, when first asked for. */
import { SpeccascadeError } from '../errors.ts';
import type { T5Model } from '../model.ts';
import type { Tokenizer } from '../tokenizer.ts';
import type { Context } from './command.ts';
import {
  impliedBy,
  loadModel,
  modelName,
  sourceOf,
  targetSource,
  type deviceOptions,
} from './models.ts';
import type { Values } from './options.ts';

type ShelfValues = Values<typeof deviceOptions> & {
  target: string | undefined;
  prefix: string | undefined;
};

export class ModelShelf {
  readonly target: T5Model;
  readonly tokenizer: Tokenizer;
  readonly prefix: string;
  readonly targetName: string;
  readonly #loaded: Map<string, T5Model>;
  readonly #open: (source: string) => Promise<T5Model>;

  private constructor(
    target: T5Model,
    tokenizer: Tokenizer,
    names: { targetName: string; prefix: string },
    open: (source: string) => Promise<T5Model>,
  ) {
    this.target = target;
    this.tokenizer = tokenizer;
    this.prefix = names.prefix;
    this.targetName = names.targetName;
    this.#loaded = new Map([[names.targetName, target]]);
    this.#open = open;
  }

  /** Loads the target, which needs a tokenizer: outputs are compared as texts. */
  static async open(values: ShelfValues, context: Context, quiet: boolean): Promise<ModelShelf> {
    const source = targetSource(values);
    const open = (one: string): Promise<T5Model> => loadModel(one, values, context, quiet);
    const target = await open(source);
    if (target.tokenizer === null) {
      const problem = 'expected a target with a tokenizer, to compare its texts with references';
      throw new SpeccascadeError('ERR_INPUT', `${source}: ${problem}`);
    }
    const prefix = values.prefix ?? impliedBy(source).prefix;
    const targetName = modelName(source);
    return new ModelShelf(target, target.tokenizer, { targetName, prefix }, open);
  }

  /** By folder, hub id or the name of a bundled model. */
  async load(named: string): Promise<T5Model> {
    const source = sourceOf(named);
    const name = modelName(source);
    const model = this.#loaded.get(name) ?? (await this.#open(source));
    this.#loaded.set(name, model);
    return model;
  }

  /** The models so far, by their names. */
  get loaded(): ReadonlyMap<string, T5Model> {
    return this.#loaded;
  }

  encode(texts: readonly string[]): Int32Array[] {
    return texts.map((text) => Int32Array.from(this.tokenizer.encode(this.prefix + text)));
  }

  async close(): Promise<void> {
    for (const model of this.#loaded.values()) await model.dispose();
  }
}
