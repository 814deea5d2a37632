/**
 * Adds a checkpoint to test/golden: packs config.json, model.safetensors and golden.json of a folder
 * (formats: test/golden/README.md).
 *
 *   npx tsx scripts/pack-golden.ts FOLDER NAME
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { packedFolder, packWeights } from '../test/support/golden-files.ts';

const [folder, name] = process.argv.slice(2);
if (folder === undefined || name === undefined) {
  console.error('usage: npx tsx scripts/pack-golden.ts FOLDER NAME');
  process.exit(2);
}
const to = packedFolder(name);
mkdirSync(to, { recursive: true });
copyFileSync(path.join(folder, 'config.json'), path.join(to, 'config.json'));
const weights = readFileSync(path.join(folder, 'model.safetensors'));
writeFileSync(path.join(to, 'model.safetensors.planes.br'), packWeights(weights));
const golden = readFileSync(path.join(folder, 'golden.json'));
writeFileSync(path.join(to, 'golden.json.gz'), gzipSync(golden, { level: 9 }));
