/** speccascade bigrams: what usually follows each token, counted in text, for Max-Gram. */
import { compressionOf } from '../batch/compression.ts';
import { checkOther } from '../batch/places.ts';
import { ioError, SpeccascadeError } from '../errors.ts';
import type { Located } from '../model-source.ts';
import { defineCommand, type Context } from './command.ts';
import { openLines, wholeText } from './lines.ts';
import { modelName, targetSource } from './models.ts';
import { flag, text, UsageError } from './options.ts';
import { Progress, share } from './progress.ts';
import { json } from './views.ts';

export const bigrams = defineCommand({
  name: 'bigrams',
  summary: 'count which token follows which, for Max-Gram',
  operands: '',
  operandCount: { min: 0, max: 0 },
  about:
    'Reads texts like those that the model writes, one per line of --input or of standard input, ' +
    'and writes the most frequent successor of each token: a file for --bigrams of generate, ' +
    'little-endian int32, -1 where nothing followed, compressed where its name ends in .gz.',
  options: {
    model: text({
      value: 'MODEL',
      help: 'whose tokens: a folder, a hub id, or large, base or small',
      shownDefault: 'the bundled large',
    }),
    input: text({ value: 'FILE', help: 'the texts', shownDefault: 'standard input' }),
    output: text({ value: 'FILE', help: 'where the table goes' }),
    json: flag('a JSON object instead of a line'),
    quiet: flag('no progress'),
  },
  examples: ['speccascade bigrams --input german.txt --output german.bigrams'],
  async run(values, _, context) {
    const { input = '-', output } = values;
    if (output === undefined) throw new UsageError('--output: expected a file to write');
    compressionOf(output); // a form that cannot be written is refused before anything is counted
    if (input !== '-') await checkOther('--output', output, input);
    const source = await openLines({ texts: [], file: values.input, limit: undefined }, context);
    try {
      const { tokenizer, config } = await locateModel(values, context);
      if (tokenizer === null) {
        throw new SpeccascadeError('ERR_INPUT', '--model: expected one with a tokenizer');
      }
      const sequences: number[][] = [];
      for await (const line of source.lines) {
        const text = wholeText(line, input);
        if (text.trim() === '') continue;
        sequences.push([config.decoderStartTokenId, ...tokenizer.encode(text)]);
      }
      const { countBigrams } = await import('../drafters/bigrams.ts');
      const { saveBigrams } = await import('./bigrams-file.ts');
      const next = countBigrams(sequences, config.vocabSize);
      await saveBigrams(output, next).catch((cause) => {
        throw ioError('--output', cause);
      });
      const known = next.filter((token) => token >= 0).length;
      const counted = { texts: sequences.length, tokens: next.length, known, output };
      await context.terminal.write(
        values.json
          ? json(counted)
          : `${output}: successors of ${known} of ${next.length} tokens, from ${sequences.length} texts\n`,
      );
      return 0;
    } finally {
      source.close();
    }
  },
});

/** All but its weights, which nothing here asks. */
async function locateModel(
  values: { model: string | undefined; quiet: boolean },
  { terminal, signal }: Context,
): Promise<Located> {
  const { locate } = await import('../model-source.ts');
  const source = targetSource({ target: values.model });
  const progress = new Progress(terminal, values.quiet);
  try {
    return await locate(source, {
      signal,
      onProgress: ({ phase, done, total }) =>
        progress.show(() => share(`${phase} ${modelName(source)}`, done, total)),
    });
  } finally {
    progress.clear();
  }
}
