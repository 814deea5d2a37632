// The project that the packaging check installs the package into: what a user of ESM, of
// require(), of TypeScript and of the command line does first.

const use = `
const own = createRequire(__base).resolve('speccascade/package.json');
const models = path.join(path.dirname(own), 'models');

async function main() {
  const cpu = devices().find((device) => device.kind === 'cpu');
  if (!cpu) throw new Error('devices() lists no CPU');
  const target = await T5Model.load(path.join(models, 'base'), { dtype: 'f32', device: 'cpu' });
  const drafter = await T5Model.load(path.join(models, 'small'), { dtype: 'f32', device: 'cpu' });
  const draft = chain(drafter, { length: 3 });
  const session = await createSession({ target, draft, maxNewTokens: 32 });
  const result = await session.generate('A man is riding a bicycle.');
  await session.close();
  await Promise.all([target.dispose(), drafter.dispose()]);
  if (!result.text || result.tokens.length === 0) throw new Error('generate() gave no text');
  console.log(result.text);
}
`;

const esm = `
import { createRequire } from 'node:module';
import path from 'node:path';
import { T5Model, chain, createSession } from 'speccascade';
import { devices } from 'speccascade/lowlevel';
const __base = import.meta.url;
${use}
await main();
`;

const commonJs = `
const { createRequire } = require('node:module');
const path = require('node:path');
const { T5Model, chain, createSession } = require('speccascade');
const { devices } = require('speccascade/lowlevel');
const __base = __filename;
${use}
main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
`;

const typed = `
import { SpeccascadeError, T5Model, chain, createSession, lossless } from 'speccascade';
import { devices } from 'speccascade/lowlevel';

export async function translate(text: string): Promise<string> {
  const target = await T5Model.load('large', { device: 'cpu' });
  const draft = chain(await T5Model.load('small'), { length: 4 });
  const session = await createSession({ target, draft, rule: lossless(), maxNewTokens: 64 });
  try {
    const result = await session.generate(text, { temperature: 0.7, seed: 1n });
    const calls: number = result.stats.targetCalls;
    return \`\${result.text ?? ''} (\${calls} passes on \${devices()[0]?.name})\`;
  } catch (error) {
    if (error instanceof SpeccascadeError) return error.code;
    throw error;
  } finally {
    await session.close();
  }
}

// @ts-expect-error a model is found by name, not by number
export const wrong = T5Model.load(7);
`;

const withoutAddon = `
import { devices } from 'speccascade/lowlevel';
console.log(devices());
`;

const compilerOptions = {
  target: 'es2023',
  module: 'nodenext',
  strict: true,
  noEmit: true,
  skipLibCheck: false,
  types: ['node'],
};

export const consumerFiles = {
  'package.json': '{ "name": "consumer", "version": "1.0.0", "private": true }\n',
  'use.mjs': esm,
  'use.cjs': commonJs,
  'types.mts': typed,
  'types.cts': typed,
  'types.ts': typed,
  'without-addon.mjs': withoutAddon,
  'tsconfig.json': JSON.stringify({ compilerOptions, include: ['types.mts', 'types.cts'] }),
  // Which knows no `exports`.
  'tsconfig.node10.json': JSON.stringify({
    compilerOptions: {
      ...compilerOptions,
      module: 'commonjs',
      moduleResolution: 'node10',
      ignoreDeprecations: '6.0',
    },
    include: ['types.ts'],
  }),
};
