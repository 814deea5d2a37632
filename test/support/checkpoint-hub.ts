/** What the download tests share: a hub with a small model, and the environment pointed at it. */
import { afterEach, beforeEach } from 'vitest';
import { resolveSource, type ResolveOptions } from '../../lib/checkpoint/hub.ts';
import { soundFile, tempFolder, tinyConfig, tinyTensors } from './checkpoint-builder.ts';
import { TestHub, type HubFile } from './checkpoint-server.ts';

export const id = 'owner/name';

export function jsonFile(value: unknown): HubFile {
  return { content: new TextEncoder().encode(JSON.stringify(value)) };
}

/** Weights large enough to be cut in the middle: about 300 kB. */
export const weights = soundFile([
  ...tinyTensors,
  { name: 'encoder.block.0.layer.0.SelfAttention.k.weight', dtype: 'F32', shape: [300, 250] },
]);
// Not only zeros, so that a part in the wrong place is noticed.
for (let i = weights.length - 250_000; i < weights.length; i++) weights[i] = (i * 31) & 63;

export function model(): Record<string, HubFile> {
  return {
    'config.json': jsonFile(tinyConfig),
    'generation_config.json': jsonFile({ eos_token_id: 1 }),
    'spiece.model': { content: new Uint8Array([1, 2, 3]) },
    'model.safetensors': { content: weights, stored: true },
    'pytorch_model.bin': { content: new Uint8Array(10) },
  };
}

const variables = ['HF_ENDPOINT', 'HF_TOKEN', 'SPECCASCADE_CACHE'] as const;
const hubs: TestHub[] = [];
let before: (string | undefined)[] = [];

/** Call once per test file: every test gets a clean environment and its hubs are stopped. */
export function isolateHub(): void {
  beforeEach(() => {
    before = variables.map((name) => process.env[name]);
    // Nothing listens here: a test that forgets its hub fails instead of leaving the machine.
    process.env['HF_ENDPOINT'] = 'http://127.0.0.1:9';
    delete process.env['HF_TOKEN'];
  });
  afterEach(async () => {
    for (const hub of hubs.splice(0)) await hub.stop();
    for (const [i, name] of variables.entries()) {
      if (before[i] === undefined) delete process.env[name];
      else process.env[name] = before[i];
    }
  });
}

export async function startHub(files: Record<string, HubFile> = model()): Promise<TestHub> {
  const hub = await TestHub.start(files);
  hubs.push(hub);
  process.env['HF_ENDPOINT'] = hub.url;
  return hub;
}

/** Resolves the test model into a fresh cache (or the given one). */
export async function download(options: ResolveOptions = {}): Promise<string> {
  return resolveSource(id, { cacheDir: await tempFolder(), ...options });
}
