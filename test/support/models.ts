/** Checkpoints that tests run on, and the sentences they translate. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { T5Model, type Device, type LoadOptions } from '../../lib/index.ts';
import { goldenFolder } from './golden-files.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export const goldenNames = ['relu-tied', 'gated-untied', 'umt5', 'odd-sizes'] as const;
export const bundledNames = ['large', 'base', 'small'] as const;
export const prefix = 'translate English to German: ';

/** What the tests' models compute on; test/device/vitest.config.ts says 'cuda'. */
export const device = (process.env.SPECCASCADE_TEST_DEVICE ?? 'cpu') as Device;
/** Whether a GPU that they compute on is the emulated one. */
export const emulated = process.env.SPECCASCADE_REAL_DEVICE !== '1';

export function bundledFolder(name: string): string {
  return path.join(root, 'models', name);
}

/** float32, so that results can be compared with float32 references. */
export function loadGolden(name: string, options: LoadOptions = {}): Promise<T5Model> {
  return T5Model.load(goldenFolder(name), { device, dtype: 'f32', ...options });
}

export function loadBundled(name: string, options: LoadOptions = {}): Promise<T5Model> {
  return T5Model.load(bundledFolder(name), { device, dtype: 'f32', ...options });
}

/** Compressed where the file's name ends in .gz. */
export function readJson(file: string): unknown {
  const bytes = readFileSync(file);
  return JSON.parse((file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8'));
}

/** Lines of the captions' test file, with the models' prefix. */
export function captions(count: number): string[] {
  return captionLines('en', count).map((line) => prefix + line);
}

/** Line by line their translations. */
export function translations(count: number): string[] {
  return captionLines('de', count);
}

function captionLines(language: string, count: number): string[] {
  const file = path.join(root, 'examples', 'captions', `test_2016.${language}`);
  return readFileSync(file, 'utf8').split('\n').filter(Boolean).slice(0, count);
}
