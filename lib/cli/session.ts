/** The session of a command that decodes for its output, from its options. */
import type { DecodeSession } from '../session.ts';
import { checkBigramsRead, draftSession, wantedModels } from './draft-options.ts';
import type { decodingOptions } from './generate-options.ts';
import { checkMethodOptions } from './method-checks.ts';
import { ruleOf, type methodOptions } from './method-options.ts';
import { draftSources, impliedBy, targetSource, type modelOptions, type Models } from './models.ts';
import { UsageError, type Values } from './options.ts';

type SessionValues = Values<typeof modelOptions & typeof methodOptions & typeof decodingOptions>;

/** What the tables of options cannot say: which exclude each other. Throws UsageError. */
export function checkMethod(values: SessionValues): void {
  const models = draftSources(values, wantedModels(values));
  checkBigramsRead(values, models.length);
  if (values['no-draft'] && values['max-gram']) {
    throw new UsageError('--max-gram and --no-draft exclude each other');
  }
  checkMethodOptions(values, models.length > 0 || values['max-gram']);
  if (ruleOf(values).rule !== 'lossless' && models.length === 0) {
    throw new UsageError(`--rule ${values.rule} weighs two models: it needs a drafter`);
  }
  if (values.temperature === 0) {
    const filter = values['top-k'] > 0 ? 'top-k' : values['top-p'] < 1 ? 'top-p' : null;
    if (filter !== null) throw new UsageError(`--${filter} is of --temperature above 0`);
  }
  if (values['min-new-tokens'] > values['max-new-tokens']) {
    throw new UsageError('--min-new-tokens: expected at most the value of --max-new-tokens');
  }
}

/** The library comes in here: --help needs no addon. */
export async function openSession(
  values: SessionValues,
  { target, drafts }: Models,
  maxBatch: number,
): Promise<DecodeSession> {
  const { createSession } = await import('../session.ts');
  const { bigrams } = impliedBy(targetSource(values));
  return createSession({
    target,
    ...(drafts.length > 0 || values['max-gram'] ? await draftSession(drafts, values, bigrams) : {}),
    rule: ruleOf(values),
    sampling: {
      temperature: values.temperature,
      topK: values['top-k'],
      topP: values['top-p'],
    },
    maxNewTokens: values['max-new-tokens'],
    minNewTokens: values['min-new-tokens'],
    maxInputTokens: values['max-input-tokens'],
    truncate: values.truncate,
    maxBatch,
  });
}
