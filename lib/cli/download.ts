/** speccascade download: fetch models of a hub before they are needed. */
import { resolveSource } from '../checkpoint/hub.ts';
import { checkFolder } from '../checkpoint/json-file.ts';
import { defineCommand } from './command.ts';
import { flag, text } from './options.ts';
import { Progress, share } from './progress.ts';
import { json } from './views.ts';

export const download = defineCommand({
  name: 'download',
  summary: 'fetch a model of the hub into the cache',
  operands: 'ID',
  operandCount: { min: 1, max: 1 },
  about:
    'Fetches configuration, tokenizer and safetensors weights of the hub model ID and prints the ' +
    'folder they are in. What is there already is not fetched again; an interrupted download ' +
    'goes on where it stopped. The hub is $HF_ENDPOINT, read with $HF_TOKEN if that is set.',
  options: {
    revision: text({ value: 'NAME', help: 'branch, tag or commit', default: 'main' }),
    'cache-dir': text({
      value: 'DIR',
      help: 'where to keep it',
      shownDefault: "$SPECCASCADE_CACHE, else speccascade in the user's cache folder",
    }),
    json: flag('a JSON object instead of the bare folder'),
    quiet: flag('no progress'),
  },
  examples: ['speccascade download google/flan-t5-small'],
  async run(values, [id = ''], { terminal, signal }) {
    const progress = new Progress(terminal, values.quiet);
    const { revision } = values;
    let folder: string;
    try {
      folder = await resolveSource(id, {
        revision,
        cacheDir: values['cache-dir'],
        asId: true,
        signal,
        onProgress: ({ done, total }) => progress.show(() => share(id, done, total)),
      });
    } finally {
      progress.clear();
    }
    // An id is what this is for; of a path there is nothing to fetch, but it has to be there.
    await checkFolder(folder);
    await terminal.write(values.json ? json({ id, revision, folder }) : `${folder}\n`);
    return 0;
  },
});
