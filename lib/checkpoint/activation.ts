/** From the published names of feed-forward layers to the four functions the forward pass has. */
import type { Activation } from '../native.ts';
import { booleanField, fieldError, stringField } from './fields.ts';
import type { JsonFile } from './json-file.ts';

interface FeedForward {
  feedForwardProj: string;
  denseActFn: string;
  isGatedAct: boolean;
}

const activations: Readonly<Record<string, Activation>> = {
  relu: 'relu',
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu_accurate: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_python_tanh: 'gelu_tanh',
  silu: 'silu',
  swish: 'silu',
};

/** The function behind a published activation name; undefined for one that is not supported. */
export function activationOf(denseActFn: string): Activation | undefined {
  return Object.hasOwn(activations, denseActFn) ? activations[denseActFn] : undefined;
}

/**
 * Reads `feed_forward_proj`, "NAME" or "gated-NAME". Explicit `dense_act_fn` and `is_gated_act`
 * win over what it says, as in the reference implementation.
 */
export function readFeedForward(source: JsonFile, defaultProj: string): FeedForward {
  const feedForwardProj = stringField(source, 'feed_forward_proj') ?? defaultProj;
  const parts = feedForwardProj.split('-');
  if (parts.length > 2 || (parts.length === 2 && parts[0] !== 'gated')) {
    throw fieldError(source, 'feed_forward_proj', '"NAME" or "gated-NAME"', feedForwardProj);
  }
  const explicit = stringField(source, 'dense_act_fn');
  // T5 v1.1 was published as "gated-gelu" but trained with the tanh form.
  const implied = feedForwardProj === 'gated-gelu' ? 'gelu_new' : (parts.at(-1) ?? '');
  const denseActFn = explicit ?? implied;
  if (activationOf(denseActFn) === undefined) {
    const key = explicit === undefined ? 'feed_forward_proj' : 'dense_act_fn';
    const names = Object.keys(activations).join(', ');
    throw fieldError(source, key, `an activation among ${names}`, explicit ?? feedForwardProj);
  }
  const isGatedAct = booleanField(source, 'is_gated_act') ?? parts[0] === 'gated';
  return { feedForwardProj, denseActFn, isGatedAct };
}
