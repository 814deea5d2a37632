/** Random damage to headers, indexes and configurations ends in a result or in a named error. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../lib/checkpoint/config.ts';
import { parseJsonObject } from '../lib/checkpoint/json-file.ts';
import { checkpointError } from '../lib/checkpoint/messages.ts';
import { headerLength, parseHeader } from '../lib/checkpoint/safetensors.ts';
import { parseShardIndex } from '../lib/checkpoint/shards.ts';
import { SpeccascadeError } from '../lib/errors.ts';
import { soundFile, tinyConfig } from './support/checkpoint-builder.ts';

const runs = 4000;

/** xorshift32: the same damage in every run. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const tokens = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  '-',
  '0',
  '9e99',
  'null',
  'true',
  ' ',
  '1',
];

function damage(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  let out = Uint8Array.from(bytes);
  for (let i = random(4) + 1; i > 0; i--) {
    const at = random(out.length + 1);
    const end = Math.min(out.length, at + random(9));
    const kind = random(4);
    if (kind === 0) out[at % out.length] = random(256);
    else {
      const middle =
        kind === 1
          ? new TextEncoder().encode(tokens[random(tokens.length)])
          : kind === 2
            ? out.subarray(random(out.length), random(out.length))
            : new Uint8Array();
      out = Uint8Array.from([...out.subarray(0, at), ...middle, ...out.subarray(end)]);
    }
    if (out.length === 0) out = Uint8Array.from(bytes);
  }
  return out;
}

/** Runs `parse` on damaged copies and counts the refusals. */
function storm(sound: Uint8Array, codes: string[], parse: (bytes: Uint8Array) => void): number {
  const random = generator(20_240_607);
  let refused = 0;
  for (let run = 0; run < runs; run++) {
    const bytes = damage(sound, random);
    try {
      parse(bytes);
    } catch (error) {
      if (!(error instanceof SpeccascadeError) || !codes.includes(error.code)) throw error;
      refused++;
    }
  }
  return refused;
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

describe('damaged input', () => {
  it('safetensors headers', () => {
    const refused = storm(soundFile().subarray(0, 400), ['ERR_CHECKPOINT'], (bytes) => {
      if (bytes.length < 8) return;
      const length = headerLength('file', bytes.subarray(0, 8), bytes.length);
      for (const { begin, end } of parseHeader('file', bytes.subarray(8, 8 + length), 1000)) {
        expect(begin).toBeGreaterThanOrEqual(8);
        expect(end).toBeLessThanOrEqual(1000);
      }
    });
    expect(refused).toBeGreaterThan(runs / 2);
  });

  it('header text with the right length', () => {
    const sound = soundFile();
    const length = headerLength('file', sound.subarray(0, 8), sound.length);
    const refused = storm(sound.subarray(8, 8 + length), ['ERR_CHECKPOINT'], (bytes) => {
      for (const tensor of parseHeader('file', bytes, bytes.length + 664)) {
        expect(tensor.begin).toBeGreaterThanOrEqual(8 + bytes.length);
        expect(tensor.end).toBeLessThanOrEqual(bytes.length + 664);
      }
    });
    expect(refused).toBeLessThan(runs);
  });

  it('shard indexes', () => {
    const sound = json({ weight_map: { a: 'x-1.safetensors', b: 'x-2.safetensors' } });
    storm(sound, ['ERR_CHECKPOINT'], (bytes) => {
      const value = parseJsonObject('index', bytes, checkpointError);
      for (const shard of parseShardIndex({ file: 'index', value }).shards) {
        expect(shard).toMatch(/^[\w.-]+\.safetensors$/);
      }
    });
  });

  it('configurations', () => {
    storm(json(tinyConfig), ['ERR_CHECKPOINT', 'ERR_CONFIG'], (bytes) => {
      const value = parseJsonObject('config', bytes, checkpointError);
      const config = parseConfig({ file: 'config', value }, null);
      expect(config.numHeads * config.dKv).toBeLessThanOrEqual(2 ** 17);
    });
  });
});
