/** What bounds autoregressive decoding in a batch: reading weights at 1, multiply-adds at 64. */
import type { T5Model } from '../../lib/index.ts';
import { bench } from '../../lib/lowlevel.ts';
import type { Dtype } from './ceilings.ts';
import { percent, table } from './table.ts';

/** Larger than the caches of any machine meant here. */
const memoryBytes = 2 ** 29;

export interface Limits {
  threads: number;
  /** Bytes per second of memory. */
  readRate: number;
  /** Multiply-adds per second in registers, for the target's dtype. */
  macRate: number;
  /** Bytes and multiply-adds of a decoder pass over one position of one sequence. */
  stepBytes: number;
  stepMacs: number;
  /** Multiply-adds of the encoder pass of one input. */
  encoderMacs: number;
}

/** Of sequences of this many input tokens and half the output tokens before. */
export async function measureLimits(
  target: T5Model,
  threads: number,
  input: number,
  output: number,
): Promise<Limits> {
  const native = target.nativeModel();
  const cached = Math.max(1, Math.floor(output / 2));
  const step = await native.timePasses('decoder', Int32Array.of(1), cached, input, 3);
  const encoder = await native.timePasses('encoder', Int32Array.of(input), 0, 1, 3);
  const read = bench('read', { bytes: memoryBytes, threads }, { repeats: 9 });
  const dtype = target.dtype as Dtype;
  const mac = bench('multiplyAdd', { threads }, { dtype, repeats: 15 });
  return {
    threads,
    readRate: (read.bytes / read.msMedian) * 1e3,
    macRate: (mac.flops / 2 / mac.msMedian) * 1e3,
    stepBytes: step.bytes[0]!,
    stepMacs: step.flops[0]! / 2,
    encoderMacs: encoder.flops[0]! / 2,
  };
}

/**
 * A table of the two bounds, in tokens per second, beside what autoregressive decoding reached.
 * A step reads the decoder's weights once for all its sequences; multiply-adds are per token, the
 * encoder's shared by the tokens of an output.
 */
export function explain(
  limits: Limits,
  batches: number[],
  rates: number[],
  tokensPerOutput: number,
): string {
  const { readRate, macRate, stepBytes, stepMacs, encoderMacs } = limits;
  const macs = stepMacs + encoderMacs / tokensPerOutput;
  const rows = batches.map((batch, i) => {
    const reading = (batch * readRate) / stepBytes;
    const multiplying = macRate / macs;
    const bound = Math.min(reading, multiplying);
    const cells = [reading, multiplying, rates[i]!].map((rate) => rate.toFixed(0));
    return [String(batch), ...cells, percent(rates[i]! / bound)];
  });
  const head = ['batch', 'by reading', 'by multiply-adds', 'autoregressive', 'of the lower'];
  return (
    `What bounds it: a step of the target reads ${(stepBytes / 1e6).toFixed(1)} MB, once for all its ` +
    `sequences; a token takes ${(macs / 1e6).toFixed(1)} million multiply-adds (the encoder's ` +
    `${(encoderMacs / 1e6).toFixed(0)} million per input spread over ${tokensPerOutput.toFixed(1)} ` +
    `tokens). Measured beside the table: ${(readRate / 1e9).toFixed(1)} GB/s of memory read and ` +
    `${(macRate / 1e9).toFixed(0)} G multiply-adds per second in registers, on ${limits.threads} threads. ` +
    'Tokens per second at these ceilings:\n\n' +
    table(head, rows) +
    '\nWhile reading is the lower bound, a larger batch, or a draft, rides along for little; above, ' +
    'every row costs its multiply-adds, and drafts that are refused are paid in full. Weights that ' +
    'stay in the caches are read faster than memory: the first bound is none then.\n'
  );
}
