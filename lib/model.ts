/** A loaded model: find, validate, load, run teacher-forced, dispose. */
import type { T5Config } from './checkpoint.ts';
import { SpeccascadeError } from './errors.ts';
import { ReadProgress } from './load-progress.ts';
import { locate, type Located } from './model-source.ts';
import { native, type NativeModel, type NativeModelOptions } from './native.ts';
import { pack, pad, type IdRows } from './pack.ts';
import type { Tokenizer } from './tokenizer.ts';
import {
  checkInteger,
  checkOneOf,
  checkOptions,
  checkSignal,
  inputError,
  show,
} from './validate.ts';

export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;
export type Dtype = 'auto' | 'f32' | 'bf16' | 'f16' | 'int8';

export interface LoadProgress {
  /** 'upload', on a GPU: each part of the weights goes there once it is read; both reach `total`. */
  phase: 'download' | 'read' | 'upload';
  /** Bytes. */
  done: number;
  total: number;
}

export interface LoadOptions {
  /**
   * The device that holds the weights and runs the passes; sessions draft and verify there too.
   * 'auto' (default): the first GPU in builds with nvcc, else the CPU. 'cuda', 'cuda:N': a GPU, or
   * ERR_DEVICE.
   */
  device?: Device | undefined;
  /**
   * Type of the weights in memory. 'auto' (default): bf16 on CPUs with native bfloat16, else f32.
   * 'bf16' rounds the inputs of products as well where the CPU multiplies bfloat16 natively;
   * 'int8' has a scale per output and, on the CPU, quantises the inputs of products with a scale for
   * every 32 entries. On CUDA 'auto' is bf16, and there is 'f16'.
   */
  dtype?: Dtype | undefined;
  /** Upper bound of threads that one operation uses; default: all cores. */
  threads?: number | undefined;
  /** Where hub downloads are kept; default: $SPECCASCADE_CACHE or the user's cache folder. */
  cacheDir?: string | undefined;
  /** Branch, tag or commit of a hub model; default 'main'. */
  revision?: string | undefined;
  /** Ends the load, a download included, with ERR_ABORTED, whose `cause` is its reason. */
  signal?: AbortSignal | undefined;
  /** What it throws ends the load, which rejects with it. */
  onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** A T5-family model in memory. Immutable; any number of sessions may use it at once. */
export class T5Model {
  /** config.json in camelCase, validated, published defaults filled in. */
  readonly config: T5Config;
  /** Where the weights are. */
  readonly device: 'cpu' | `cuda:${number}`;
  /** Type of the weights. */
  readonly dtype: Exclude<Dtype, 'auto'>;
  /** Number of weights, shared ones counted once. */
  readonly parameters: number;
  /** Bytes that the weights take, in the memory of the device. */
  readonly memoryBytes: number;
  /** null for a checkpoint without one: ids in, ids out. */
  readonly tokenizer: Tokenizer | null;
  /** What is odd but harmless about the checkpoint, one sentence each. */
  readonly warnings: readonly string[];
  /** Tensors that were known and not needed: copies of the embedding, and leftovers. */
  readonly ignoredTensors: readonly string[];
  readonly #native: NativeModel;
  readonly #source: string;
  #disposed = false;
  #holders = 0;

  private constructor(source: string, located: Located, loaded: NativeModel) {
    this.#source = source;
    this.config = located.config;
    this.tokenizer = located.tokenizer;
    this.#native = loaded;
    this.device = loaded.device;
    this.dtype = loaded.dtype;
    this.parameters = loaded.parameters;
    this.memoryBytes = loaded.memoryBytes;
    const { duplicates, leftovers, unused } = loaded.report;
    this.ignoredTensors = [...duplicates, ...leftovers];
    this.warnings = [
      ...located.warnings,
      ...unused.map((name) => `tensor ${name} is not part of a T5 model and was not used`),
    ];
  }

  /**
   * Loads a model.
   *
   * `source`: a folder in the published layout, a hub id ("google/flan-t5-small"), or random
   * weights of a published shape for benchmarks ("random:t5-base").
   *
   * Errors: ERR_INPUT (an option), ERR_CHECKPOINT (file, tensor and what is wrong), ERR_CONFIG
   * (file, key, value), ERR_DEVICE, ERR_OUT_OF_MEMORY, ERR_DOWNLOAD, ERR_IO, ERR_ABORTED.
   */
  static async load(source: string, options: LoadOptions = {}): Promise<T5Model> {
    if (typeof source !== 'string' || source === '') {
      throw inputError('model', 'a folder, a hub id or "random:<shape>"', source);
    }
    const { native: settings, ...rest } = checkLoadOptions(options);
    const { signal, onProgress } = rest;
    if (signal?.aborted) throw abortError(signal);
    const located = await locate(source, rest);
    if (signal?.aborted) throw abortError(signal);
    const cancelled = new Int32Array(new SharedArrayBuffer(4));
    const cancel = (): void => void Atomics.store(cancelled, 0, 1);
    const progress =
      onProgress &&
      new ReadProgress((phase, done, total) => onProgress({ phase, done, total }), cancel);
    const report = progress?.report ?? null;
    signal?.addEventListener('abort', cancel, { once: true });
    let loaded: NativeModel | undefined;
    try {
      loaded = await native
        .loadModel(located.native, located.weights, settings, report, cancelled)
        .finally(() => progress?.settled());
      progress?.check();
      if (signal?.aborted) throw abortError(signal);
      return new T5Model(source, located, loaded);
    } catch (error) {
      loaded?.dispose();
      progress?.check();
      throw signal?.aborted ? abortError(signal) : error;
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  /**
   * Teacher-forced pass. Result: float32, [batch, longest decoder length, vocabSize]; rows past a
   * shorter row's end are zero. Errors: ERR_INPUT (an id, an empty row), ERR_CLOSED,
   * ERR_OUT_OF_MEMORY, ERR_DEVICE.
   */
  async logits(
    inputIds: IdRows,
    decoderInputIds: IdRows,
  ): Promise<{ data: Float32Array; shape: [number, number, number] }> {
    const { vocabSize } = this.config;
    const input = pack('inputIds', inputIds, vocabSize);
    const output = pack('decoderInputIds', decoderInputIds, vocabSize);
    checkPairs(inputIds, decoderInputIds);
    const packed = await this.nativeModel().logits(
      input.ids,
      input.lengths,
      output.ids,
      output.lengths,
    );
    return pad(packed, output.lengths, vocabSize);
  }

  /**
   * Final encoder states: float32, [batch, longest input, dModel], zero past a shorter input's
   * end. Errors: ERR_INPUT, ERR_CLOSED, ERR_OUT_OF_MEMORY, ERR_DEVICE.
   */
  async encode(inputIds: IdRows): Promise<{ data: Float32Array; shape: [number, number, number] }> {
    const input = pack('inputIds', inputIds, this.config.vocabSize);
    const packed = await this.nativeModel().encode(input.ids, input.lengths);
    return pad(packed, input.lengths, this.config.dModel);
  }

  /**
   * Natural-logarithm probability of each given output token after its predecessors, at
   * temperature 1, and the sum per pair. Output ids are without the start token.
   * Errors: ERR_INPUT, ERR_CLOSED, ERR_NUMERIC, ERR_OUT_OF_MEMORY, ERR_DEVICE.
   */
  async score(
    inputIds: IdRows,
    outputIds: IdRows,
  ): Promise<{ tokens: Float32Array[]; total: number[] }> {
    const { vocabSize, decoderStartTokenId } = this.config;
    const input = pack('inputIds', inputIds, vocabSize);
    const output = pack('outputIds', outputIds, vocabSize);
    checkPairs(inputIds, outputIds);
    const packed = await this.nativeModel().score(
      input.ids,
      input.lengths,
      output.ids,
      output.lengths,
      decoderStartTokenId,
    );
    const tokens: Float32Array[] = [];
    let at = 0;
    for (const length of output.lengths) tokens.push(packed.slice(at, (at += length)));
    return { tokens, total: tokens.map((row) => row.reduce((sum, value) => sum + value, 0)) };
  }

  /** @internal The handle sessions are made from. Throws ERR_CLOSED. */
  nativeModel(): NativeModel {
    if (!this.#disposed) return this.#native;
    throw new SpeccascadeError('ERR_CLOSED', `the model ${show(this.#source)} was disposed`);
  }

  /**
   * @internal For sessions, and for passes on their behalf: the handle, which works on after dispose()
   * until all who hold it have released it. Throws ERR_CLOSED.
   */
  hold(): { native: NativeModel; release: () => void } {
    const held = this.#holders > 0 ? this.#native : this.nativeModel();
    this.#holders++;
    const release = (): void => {
      this.#holders--;
      this.#disposeUnheld();
    };
    return { native: held, release };
  }

  /** Gives the model up. Its memory goes when the last session on it has closed. Idempotent. */
  dispose(): Promise<void> {
    this.#disposed = true;
    this.#disposeUnheld();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #disposeUnheld(): void {
    if (this.#disposed && this.#holders === 0) this.#native.dispose();
  }
}

const loadKeys = [
  'device',
  'dtype',
  'threads',
  'cacheDir',
  'revision',
  'signal',
  'onProgress',
] as const;

type OtherOptions = Pick<LoadOptions, 'cacheDir' | 'revision' | 'signal' | 'onProgress'>;

/** `native`: what the core is told. */
function checkLoadOptions(given: LoadOptions): OtherOptions & { native: NativeModelOptions } {
  const options = checkOptions('load options', given, loadKeys);
  const device = options.device ?? 'auto';
  if (typeof device !== 'string' || !/^(auto|cpu|cuda|cuda:\d{1,3})$/.test(device)) {
    throw inputError('device', 'auto, cpu, cuda or cuda:N', device);
  }
  const dtypes = ['auto', 'f32', 'bf16', 'f16', 'int8'] as const;
  const dtype = checkOneOf('dtype', options.dtype ?? 'auto', dtypes);
  const threads = options.threads ?? 0;
  if (options.threads !== undefined) checkInteger('threads', threads, 1, 4096);
  for (const name of ['cacheDir', 'revision'] as const) {
    const value: unknown = options[name];
    if (value !== undefined && (typeof value !== 'string' || value === '')) {
      throw inputError(name, 'a text that is not empty', value);
    }
  }
  checkSignal(options.signal);
  if (options.onProgress !== undefined && typeof options.onProgress !== 'function') {
    throw inputError('onProgress', 'a function', options.onProgress);
  }
  return { ...options, native: { device, dtype, threads } };
}

function checkPairs(inputs: IdRows, outputs: IdRows): void {
  if (inputs.length === outputs.length) return;
  throw new SpeccascadeError(
    'ERR_INPUT',
    `expected one output per input, received ${outputs.length} for ${inputs.length}`,
  );
}

function abortError(signal: AbortSignal): SpeccascadeError {
  return new SpeccascadeError('ERR_ABORTED', 'the load was aborted', { cause: signal.reason });
}
