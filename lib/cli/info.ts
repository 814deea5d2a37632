/** speccascade info: what a model is, and what there is to run it on. */
import type { T5Config } from '../checkpoint.ts';
import type { DeviceInfo } from '../lowlevel.ts';
import type { T5Model } from '../model.ts';
import { defineCommand } from './command.ts';
import { bundled, deviceOptions, loadModel, modelName, sourceOf } from './models.ts';
import { reportFailure } from './failure.ts';
import { flag } from './options.ts';
import { bytes } from './progress.ts';
import { printable } from './terminal.ts';
import { json } from './views.ts';

export const info = defineCommand({
  name: 'info',
  summary: 'shape, size, tokenizer and oddities of models, and the devices',
  operands: '[MODEL...]',
  operandCount: { min: 0, max: Infinity },
  about:
    'Loads each MODEL (a folder, a hub id, random:SHAPE, or large, base or small; without one the ' +
    'bundled models) and tells what it is and what is odd about its files; then lists the devices. A ' +
    'MODEL that cannot be loaded is told on standard error, and the exit code is 1.',
  options: {
    ...deviceOptions,
    json: flag('one JSON object: models and devices'),
  },
  examples: ['speccascade info', 'speccascade info ./my-t5 --json'],
  async run(values, sources, context) {
    const models: ModelInfo[] = [];
    let code = 0;
    for (const source of (sources.length > 0 ? sources : bundled.names).map(sourceOf)) {
      try {
        await using model = await loadModel(source, values, context);
        models.push(describe(modelName(source), model));
      } catch (error) {
        code = reportFailure(error, { ...context, command: 'speccascade info' });
        if (context.signal.aborted) return code;
      }
    }
    if (models.length === 0) return code;
    const { devices } = await import('../lowlevel.ts');
    const found = devices();
    await context.terminal.write(
      values.json
        ? json({ models, devices: found })
        : [...models.map(modelText), ...found.map(deviceText)].join('\n'),
    );
    return code;
  },
});

export interface ModelInfo {
  model: string;
  config: T5Config;
  device: string;
  dtype: string;
  parameters: number;
  memoryBytes: number;
  tokenizer: { kind: string; vocabSize: number; fingerprint: string } | null;
  warnings: readonly string[];
  ignoredTensors: readonly string[];
}

function describe(name: string, model: T5Model): ModelInfo {
  const { config, device, dtype, parameters, memoryBytes, tokenizer } = model;
  const { warnings, ignoredTensors } = model;
  const about = tokenizer && {
    kind: tokenizer.kind,
    vocabSize: tokenizer.vocabSize,
    fingerprint: tokenizer.fingerprint,
  };
  const sizes = { device, dtype, parameters, memoryBytes };
  return { model: name, config, ...sizes, tokenizer: about, warnings, ignoredTensors };
}

export function modelText({ model, config, tokenizer, ...rest }: ModelInfo): string {
  const { numLayers, numDecoderLayers, dModel, dFf, numHeads, dKv, vocabSize } = config;
  const head = config.tieWordEmbeddings ? 'tied' : 'separate';
  const rows: [string, string][] = [
    [
      'family',
      `${config.modelType}, ${config.feedForwardProj} feed-forward, ${head} output matrix`,
    ],
    ['layers', `${numLayers} encoder, ${numDecoderLayers} decoder`],
    ['width', `d_model ${dModel}, d_ff ${dFf}, ${numHeads} heads of ${dKv}`],
    ['vocabulary', `${vocabSize} rows`],
    ['parameters', `${(rest.parameters / 1e6).toFixed(2)} M`],
    ['memory', `${bytes(rest.memoryBytes)} in ${rest.dtype} on ${rest.device}`],
    ['tokenizer', tokenizer ? `${tokenizer.kind}, ${tokenizer.vocabSize} pieces` : 'none'],
    ...rest.warnings.map((warning): [string, string] => ['warning', warning]),
    ...rest.ignoredTensors.map((name): [string, string] => ['not needed', name]),
  ];
  return block(model, rows);
}

function deviceText({ name, kind, memoryBytes, features, ...rest }: DeviceInfo): string {
  const rows: [string, string][] = [
    ['name', name],
    ['memory', bytes(memoryBytes)],
    ['features', features.join(' ')],
  ];
  if (rest.computeCapability !== undefined) rows.push(['compute', rest.computeCapability]);
  if (rest.note !== undefined) rows.push(['note', rest.note]);
  return block(`device ${kind}`, rows);
}

/** Of models too: their warnings and names of tensors are as their files have them. */
function block(title: string, rows: [string, string][]): string {
  const lines = rows.map(([label, value]) => `  ${label.padEnd(12)}${value}\n`);
  return printable(`${title}\n${lines.join('')}`);
}
