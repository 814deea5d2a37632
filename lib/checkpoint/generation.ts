/** What generation_config.json asks of transformers' generate() and nobody asks for here. */
import { show } from '../validate.ts';
import { field } from './fields.ts';
import type { JsonFile } from './json-file.ts';

/** Settings that change greedy outputs, with the value that changes nothing; null: any value does. */
const settings: Record<string, unknown> = {
  do_sample: false,
  num_beams: 1,
  repetition_penalty: 1,
  encoder_repetition_penalty: 1,
  no_repeat_ngram_size: 0,
  encoder_no_repeat_ngram_size: 0,
  min_length: 0,
  min_new_tokens: 0,
  forced_bos_token_id: null,
  forced_eos_token_id: null,
  suppress_tokens: null,
  begin_suppress_tokens: null,
  bad_words_ids: null,
};

/** One sentence, or none. */
export function generationWarnings(generation: JsonFile | null): string[] {
  if (generation === null) return [];
  const asked: string[] = [];
  for (const [key, neutral] of Object.entries(settings)) {
    const value = field(generation, key);
    const isEmpty = Array.isArray(value) && value.length === 0;
    if (value !== undefined && value !== neutral && !isEmpty) asked.push(`${key} (${show(value)})`);
  }
  if (asked.length === 0) return [];
  return [`${generation.file}: not applied to outputs: ${asked.join(', ')}`];
}
