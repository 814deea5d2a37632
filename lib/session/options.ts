/** What a session may be created with, and a request called with: checked, defaults filled in. */
import type { DrafterInput } from '../drafters.ts';
import { T5Model } from '../model.ts';
import type { NativeRequest, NativeRule } from '../native.ts';
import type { TokenIds } from '../pack.ts';
import { checkRule, lossless, nativeRule, type Rule, type RuleInput } from '../rules.ts';
import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkSeed,
  checkSignal,
  checkTemperature,
  checkTokens,
  checkTopP,
  inputError,
} from '../validate.ts';
import {
  checkCascade,
  checkCascadeRule,
  type CascadeOptions,
  type CascadeSettings,
} from './cascade-options.ts';
import { checkDraft, draftPlan, noDraft, type DraftPlan } from './draft-plan.ts';
import { maxSlots, maxTokens, usualSizes } from './usual-sizes.ts';

export interface SamplingOptions {
  /** 0 (default): greedy. Otherwise logits are divided by it before the softmax. */
  temperature?: number | undefined;
  /** Keep the k most probable tokens; 0 (default): all. */
  topK?: number | undefined;
  /** Then keep the most probable tokens whose mass first reaches this, above 0, at most 1 (default: all). */
  topP?: number | undefined;
  /** 0 to 2^64 - 1; default: random. A result is a function of the request and its seed. */
  seed?: number | bigint | undefined;
}

export interface SessionOptions {
  /** The large model, whose distribution the output has. */
  target: T5Model;
  /** Who proposes; none: plain autoregressive decoding. */
  draft?: DrafterInput | undefined;
  /** Whom to trust where drafter and target differ; default lossless(). Others need a drafter. */
  rule?: RuleInput | undefined;
  /**
   * How drafts are tested: token by token, or as a block, which accepts more. 'auto' (default):
   * block on chains, token on trees. 'traversal' (Weng et al. 2025) is to trees what block is to
   * chains; 'k-seq' (Sun et al. 2023) applies only to trees drawn with replacement. At temperature 0
   * they are the same.
   */
  verifier?: 'auto' | 'token' | 'block' | 'k-seq' | 'traversal' | undefined;
  /**
   * 'speculative' (default), or a cascade without speculation, the literature's baselines:
   *
   * 'token-cascade': the model of a chain drafts token after token; where `rule` defers, the target
   * makes the token. chow() decides by the drafter alone, and the target is called where it defers
   * or after `cascade.maxRun` tokens; the other rules see the target's row at every token. The
   * output has the distribution that the rule has under speculation.
   *
   * 'sequence-cascade': the drafting model answers alone; the target answers instead, from the
   * beginning, where the answer's score is below `cascade.threshold`.
   */
  strategy?: 'speculative' | 'token-cascade' | 'sequence-cascade' | undefined;
  cascade?: CascadeOptions | undefined;
  sampling?: SamplingOptions | undefined;
  /** Most tokens a request may generate; default 128. Sizes the session's memory. */
  maxNewTokens?: number | undefined;
  /** End and stop tokens are suppressed before this many tokens; default 0. */
  minNewTokens?: number | undefined;
  /** Longest input in tokens; default 512. Sizes the session's memory. */
  maxInputTokens?: number | undefined;
  /** Cut longer inputs (the end token stays last) instead of ERR_INPUT; default false. */
  truncate?: boolean | undefined;
  /** Tokens that end an output, besides the model's end tokens. */
  stopTokens?: TokenIds | undefined;
  /** Tokens that are never emitted. */
  suppressTokens?: TokenIds | undefined;
  /**
   * What the decoder has said already; the model's start token is put in front unless the prefix
   * begins with it. Not part of `Result.tokens`.
   */
  decoderPrefix?: TokenIds | undefined;
  /** Sequences decoded together, 1 to 4096; default 16. Sizes the session's memory. */
  maxBatch?: number | undefined;
  /**
   * Requests that may wait beyond those that free slots take, 1 to 2^20; default 1024. `generate`
   * and `stream` wait, in order, until the queue has room; `trySubmit` rejects with ERR_QUEUE_FULL.
   */
  maxQueue?: number | undefined;
  /**
   * Input tokens that are encoded between two steps while other requests decode, at most, on
   * average; 1 to 2^20, default 256. What steps leave unused adds up, to at most the larger of this
   * and `maxInputTokens`, which bounds how long new inputs hold up running requests. An input that
   * does not fit waits until enough has added up, and is encoded in one piece.
   */
  encoderTokensPerStep?: number | undefined;
  /**
   * 'fixed': every step drafts as the drafter says. 'load': that is the most a step drafts; lengths
   * follow the load, down to none, by what passes cost on this machine while the session runs, for
   * the most tokens per second of the whole batch. It holds for greedy requests under lossless(),
   * whose tokens are the same at any length (their `stats` are not), and with
   * `reproducible: false` for sampled ones. Default: 'load' for adaptive(), else 'fixed'.
   */
  lengths?: 'load' | 'fixed' | undefined;
  /**
   * Whether sampled results are a function of request and seed alone; default true. With false,
   * their draft lengths may follow the load (`lengths`): the law of the output is the same, but the
   * same seed may give another sample.
   */
  reproducible?: boolean | undefined;
}

/** Of one call. What is not given is as the session has it. Wrong values are ERR_INPUT. */
export interface GenerateOptions extends SamplingOptions {
  /**
   * Whom to trust; default the session's rule. Others than lossless() need a model that drafts, and
   * a sequence cascade takes none.
   */
  rule?: RuleInput | undefined;
  /** Most tokens to generate, 1 to the session's maxNewTokens, which is the default. */
  maxNewTokens?: number | undefined;
  /**
   * End and stop tokens are suppressed before this many tokens, 0 to maxNewTokens; default the
   * session's, at most maxNewTokens.
   */
  minNewTokens?: number | undefined;
  /** In place of the session's: tokens that end an output, besides the model's end tokens. */
  stopTokens?: TokenIds | undefined;
  /** In place of the session's: tokens that are never emitted; at least one has to be left. */
  suppressTokens?: TokenIds | undefined;
  /**
   * Outputs per input, from one encoder pass; default 1. If given, `generate` of a single input
   * resolves to a list; that of a list to a flat list, the samples of an input side by side.
   */
  numSamples?: number | undefined;
  /** Whether results carry the target's log-probability of each token; default false. */
  logprobs?: boolean | undefined;
  /**
   * Integer from -10 to 10, default 0: higher starts earlier. A level is worth 64 requests: one that
   * waits is overtaken by at most 64 later ones per level that they are above it.
   */
  priority?: number | undefined;
  /**
   * Ends the call when it fires: within one step, with ERR_ABORTED, whose `cause` is the signal's
   * reason and whose `partial` is the Result so far. Default: none.
   */
  signal?: AbortSignal | undefined;
  /** What a failing request of an array call does: end the call (default), or stand in its place. */
  onError?: 'throw' | 'return' | undefined;
}

/** Settings of one request, complete. */
export interface RequestSettings {
  temperature: number;
  topK: number;
  topP: number;
  seed: bigint | undefined;
  maxNewTokens: number;
  minNewTokens: number;
  stopTokens: Int32Array;
  suppressTokens: Int32Array;
  rule: NativeRule;
  /** Drafting stops before a position where the drafter is less confident; 0: never. */
  confidenceStop: number;
  priority: number;
}

/** Settings of a session, complete. */
export interface SessionSettings {
  target: T5Model;
  draft: DraftPlan;
  cascade: CascadeSettings | null;
  prefix: Int32Array;
  eosTokens: Int32Array;
  maxInputTokens: number;
  truncate: boolean;
  maxBatch: number;
  maxQueue: number;
  encoderTokensPerStep: number;
  followsLoad: boolean;
  reproducible: boolean;
  verifier: NativeRequest['verifier'];
  defaults: RequestSettings;
}

const samplingKeys = ['temperature', 'topK', 'topP', 'seed'] as const;
const requestKeys = ['maxNewTokens', 'minNewTokens', 'stopTokens', 'suppressTokens'] as const;
const sessionKeys = [
  ...requestKeys,
  ...['target', 'draft', 'rule', 'verifier', 'strategy', 'cascade', 'sampling', 'maxInputTokens'],
  ...['truncate', 'decoderPrefix', 'maxBatch', 'reproducible', 'lengths', 'maxQueue'],
  'encoderTokensPerStep',
];
const generateKeys = [
  ...samplingKeys,
  ...requestKeys,
  ...['rule', 'numSamples', 'logprobs', 'signal', 'onError', 'priority'],
];

const verifiers = ['auto', 'token', 'block', 'k-seq', 'traversal'] as const;
const strategies = ['speculative', 'token-cascade', 'sequence-cascade'] as const;

export function checkSessionOptions(given: SessionOptions): SessionSettings {
  const options = checkOptions('session options', given, sessionKeys);
  const { target } = given;
  if (!(target instanceof T5Model)) throw inputError('target', 'a T5Model', target);
  const verifier = checkOneOf('verifier', options.verifier ?? 'auto', verifiers);
  const strategy = checkOneOf('strategy', options.strategy ?? 'speculative', strategies);
  const rule = checkRule(options.rule ?? lossless());
  const own = options.draft === undefined ? undefined : checkDraft(options.draft);
  const cascade = checkCascade(strategy, { ...options, draft: own, rule });
  const drafter = cascade?.draft ?? own;
  const draft = drafter === undefined ? noDraft : draftPlan(target, drafter);
  const byDefault = draft.native.adaptive === null ? 'fixed' : 'load';
  const lengths = checkOneOf('lengths', options.lengths ?? byDefault, ['load', 'fixed'] as const);
  const sampling = checkOptions('sampling', options.sampling ?? {}, samplingKeys);
  const { vocabSize } = target.config;
  const maxNewTokens = checkInteger(
    'maxNewTokens',
    options.maxNewTokens ?? usualSizes.maxNewTokens,
    1,
    maxTokens,
  );
  return {
    target,
    draft,
    cascade,
    prefix: decoderPrefix(target, options.decoderPrefix),
    eosTokens: Int32Array.from(target.config.eosTokenIds),
    maxInputTokens: checkInteger(
      'maxInputTokens',
      options.maxInputTokens ?? usualSizes.maxInputTokens,
      1,
      maxTokens,
    ),
    truncate: checkBoolean('truncate', options.truncate ?? false),
    maxBatch: checkInteger('maxBatch', options.maxBatch ?? usualSizes.maxBatch, 1, maxSlots),
    followsLoad: lengths === 'load' && cascade === null && draft.drafters > 0,
    reproducible: checkBoolean('reproducible', options.reproducible ?? true),
    maxQueue: checkInteger('maxQueue', options.maxQueue ?? 1024, 1, 2 ** 20),
    encoderTokensPerStep: checkInteger(
      'encoderTokensPerStep',
      options.encoderTokensPerStep ?? 256,
      1,
      maxTokens,
    ),
    verifier: cascade === null ? checkVerifier(verifier, draft) : 'trusted',
    defaults: {
      priority: 0,
      ...ruleSettings(rule, draft),
      ...checkSampling(sampling, { temperature: 0, topK: 0, topP: 1, seed: undefined }),
      maxNewTokens,
      minNewTokens: checkInteger('minNewTokens', options.minNewTokens ?? 0, 0, maxNewTokens),
      stopTokens: checkTokens('stopTokens', options.stopTokens ?? [], vocabSize),
      suppressTokens: checkSuppressed(options.suppressTokens ?? [], vocabSize),
    },
  };
}

/** What a call was given, without names that mean nothing and without null. Throws ERR_INPUT. */
export function givenOptions(options: GenerateOptions): GenerateOptions {
  return checkOptions('generate options', options, generateKeys);
}

/** The settings of one call: the session's, with the call's own (`givenOptions`) in their place. */
export function checkGenerateOptions(
  options: GenerateOptions,
  session: SessionSettings,
): RequestSettings {
  checkOneOf('onError', options.onError ?? 'throw', ['throw', 'return']);
  checkBoolean('logprobs', options.logprobs ?? false);
  checkSignal(options.signal);
  const { defaults } = session;
  const { vocabSize } = session.target.config;
  const maxNewTokens = checkInteger(
    'maxNewTokens',
    options.maxNewTokens ?? defaults.maxNewTokens,
    1,
    defaults.maxNewTokens,
  );
  const minNewTokens = options.minNewTokens ?? Math.min(defaults.minNewTokens, maxNewTokens);
  const { stopTokens, suppressTokens } = options;
  return {
    ...callRule(options.rule, session),
    ...checkSampling(options, defaults),
    priority: checkInteger('priority', options.priority ?? 0, -10, 10),
    maxNewTokens,
    minNewTokens: checkInteger('minNewTokens', minNewTokens, 0, maxNewTokens),
    stopTokens:
      stopTokens === undefined
        ? defaults.stopTokens
        : checkTokens('stopTokens', stopTokens, vocabSize),
    suppressTokens:
      suppressTokens === undefined
        ? defaults.suppressTokens
        : checkSuppressed(suppressTokens, vocabSize),
  };
}

type Sampling = Pick<RequestSettings, 'temperature' | 'topK' | 'topP' | 'seed'>;

function checkSampling(options: SamplingOptions, defaults: Sampling): Sampling {
  return {
    temperature: checkTemperature(options.temperature ?? defaults.temperature),
    topK: checkInteger('topK', options.topK ?? defaults.topK, 0, 2 ** 30),
    topP: checkTopP(options.topP ?? defaults.topP),
    seed: options.seed === undefined ? defaults.seed : checkSeed(options.seed),
  };
}

function checkSuppressed(tokens: TokenIds, vocabSize: number): Int32Array {
  const checked = checkTokens('suppressTokens', tokens, vocabSize);
  const different = new Set(checked).size;
  if (different < vocabSize) return checked;
  const expected = `at least one token of the vocabulary's ${vocabSize} left`;
  throw inputError('suppressTokens', expected, different);
}

function ruleSettings(
  rule: Rule,
  draft: DraftPlan,
): Pick<RequestSettings, 'rule' | 'confidenceStop'> {
  const native = nativeRule(rule);
  if (native.kind !== 'lossless' && draft.models.length === 0) {
    const expected = 'lossless without a model that drafts (the others weigh two models)';
    throw inputError('rule', expected, rule.rule);
  }
  const confidenceStop = rule.rule === 'bild' ? rule.fallback : 0;
  if (confidenceStop > 0 && draft.native.kind === 'cascade') {
    throw inputError('bild fallback', '0 with csDraft()', confidenceStop);
  }
  return { rule: native, confidenceStop };
}

/** The rule of a call: its own, or the session's. */
function callRule(
  own: RuleInput | undefined,
  { defaults, draft, cascade }: SessionSettings,
): Pick<RequestSettings, 'rule' | 'confidenceStop'> {
  if (own === undefined) return { rule: defaults.rule, confidenceStop: defaults.confidenceStop };
  const rule = checkRule(own);
  if (cascade !== null) checkCascadeRule(cascade.strategy, rule);
  return ruleSettings(rule, draft);
}

function checkVerifier(
  verifier: (typeof verifiers)[number],
  draft: DraftPlan,
): NativeRequest['verifier'] {
  if (verifier === 'auto') return draft.chain ? 'block' : 'token';
  if (verifier !== 'token' && draft.drafters === 0) {
    throw inputError('verifier', 'auto without a drafter (there is nothing to verify)', verifier);
  }
  if (verifier === 'block' && !draft.chain) {
    const expected = 'auto, token or traversal for a tree (block verification is of chains)';
    throw inputError('verifier', expected, verifier);
  }
  if (verifier === 'k-seq' && !draft.replacement) {
    throw inputError('verifier', 'k-seq with a tree drawn with replacement alone', verifier);
  }
  if (verifier === 'traversal' && draft.chain) {
    throw inputError('verifier', 'block for a chain (there it is what traversal is)', verifier);
  }
  return verifier;
}

function decoderPrefix(target: T5Model, prefix: TokenIds | undefined): Int32Array {
  const { decoderStartTokenId: start, vocabSize } = target.config;
  const given = checkTokens('decoderPrefix', prefix ?? [], vocabSize);
  if (given.length >= maxTokens) {
    throw inputError('decoderPrefix', `fewer than ${maxTokens} tokens`, given.length);
  }
  if (given[0] === start) return given;
  const whole = new Int32Array(given.length + 1);
  whole[0] = start;
  whole.set(given, 1);
  return whole;
}
