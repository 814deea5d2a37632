/** The outputs of a job's shards as the output of the whole job. */
import { open, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { SpeccascadeError } from '../errors.ts';
import { readCheckpoint, writeError } from './checkpoint.ts';
import { compressionOf } from './compression.ts';
import { openInput, type Source } from './input.ts';

const lineEnd = Buffer.from('\n');

/**
 * Deals the lines of all shards, given in their order, back into one file: the bytes that one job
 * without shards writes. Shards may be compressed; the output is plain, and must not exist yet.
 * Errors: ERR_INPUT (no shards; one whose checkpoint says that it is another or not complete, or
 * whose number of lines cannot be), ERR_IO.
 */
export async function mergeShards(shards: readonly string[], output: string): Promise<void> {
  if (shards.length === 0) throw new SpeccascadeError('ERR_INPUT', 'shards: expected at least one');
  if (compressionOf(output) !== null) {
    const problem = 'expected a plain file (compress it afterwards)';
    throw new SpeccascadeError('ERR_INPUT', `output: ${output}: ${problem}`);
  }
  // One after the other: of several errors it is the first shard's.
  for (const [i, shard] of shards.entries()) await checkShard(shard, `${i + 1}/${shards.length}`);
  const stop = new AbortController();
  const inputs: Awaited<ReturnType<typeof openInput>>[] = [];
  try {
    for (const shard of shards) inputs.push(await openInput(shard, stop.signal));
    const lines = dealt(
      inputs.map(({ records }) => records[Symbol.asyncIterator]()),
      shards,
    );
    const handle = await open(output, 'wx');
    await pipeline(lines, handle.createWriteStream()).catch(async (error: unknown) => {
      await rm(output, { force: true }); // half a merged file looks like a whole one
      throw error;
    });
  } catch (cause) {
    throw writeError(output, cause);
  } finally {
    stop.abort();
    for (const input of inputs) input.close();
  }
}

/** A shard without its checkpoint is taken as it is. */
async function checkShard(file: string, expected: string): Promise<void> {
  const checkpoint = await readCheckpoint(file);
  if (checkpoint === null) return;
  const { complete, job } = checkpoint;
  if (complete && job['shard'] === expected) return;
  const found = `${complete ? '' : 'incomplete '}shard ${String(job['shard'])}`;
  throw new SpeccascadeError(
    'ERR_INPUT',
    `shards: ${file}: expected shard ${expected}, received ${found}`,
  );
}

/** A line of each in turn, until none has one. */
async function* dealt(
  shards: readonly AsyncIterator<Source, void>[],
  names: readonly string[],
): AsyncGenerator<Buffer, void, undefined> {
  let firstEnded: string | undefined;
  for (let i = 0, ended = 0; ended < shards.length; i = (i + 1) % shards.length) {
    const next = await shards[i]!.next();
    if (next.done === true) {
      firstEnded ??= names[i]!;
      ended += 1;
    } else if (firstEnded !== undefined) {
      const problem = `has a line for which ${firstEnded} has no predecessor`;
      throw new SpeccascadeError('ERR_INPUT', `shards: ${names[i]} ${problem}`);
    } else {
      if (next.value instanceof SpeccascadeError) throw next.value;
      yield Buffer.concat([next.value, lineEnd]);
    }
  }
}
