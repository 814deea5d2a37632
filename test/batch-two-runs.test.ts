/** Two runs of one batch job at the same time: neither harms what the other writes. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { runBatch, type DecodeSession } from '../lib/index.ts';
import { tempFolder } from './support/checkpoint-builder.ts';
import { withTinySession } from './support/tiny-session.ts';

let session: DecodeSession;
withTinySession({ maxNewTokens: 3, maxBatch: 2 }, (opened) => (session = opened));

it.each(['out.jsonl', 'out.jsonl.gz'])(
  'a run whose checkpoint passes that of a newer one goes on without a gap: %s',
  async (name) => {
    const folder = await tempFolder();
    const output = path.join(folder, name);
    const checkpoint = `${output}.job.json`;
    const records = Array.from({ length: 600 }, (_, i) => ({ text: [5 + (i % 90), 1] }));
    const job = { session, checkpointSeconds: 3600 };

    async function* withAnotherRun(): AsyncGenerator<unknown> {
      yield* records.slice(0, 400);
      const mine = await readFile(checkpoint);
      expect((await stat(output)).size).toBeGreaterThan(0);
      // The newer run puts its checkpoint there and opens the output, just before this one renames
      // its own over it, which it has found to be its own.
      const onProgress = (): void => {
        throw new RangeError('stopped');
      };
      const newer = runBatch({ ...job, input: records, output, resume: true, onProgress });
      await expect(newer).rejects.toThrow(RangeError);
      await writeFile(checkpoint, mine);
      yield* records.slice(400);
    }
    await runBatch({ ...job, input: withAnotherRun(), output, resume: true });

    const whole = path.join(folder, `whole-${name}`);
    await runBatch({ ...job, input: records, output: whole });
    expect((await readFile(output)).equals(await readFile(whole))).toBe(true);
    const resumed = await runBatch({ ...job, input: records, output, resume: true });
    expect(resumed).toMatchObject({ records: 600, resumed: 600 });
  },
);

it('the loser of two that begin together says so', async () => {
  const folder = await tempFolder();
  const input = Array.from({ length: 20 }, (_, i) => ({ text: [5 + i, 1] }));
  for (let round = 0; round < 10; round += 1) {
    const job = { session, input, output: path.join(folder, String(round)), checkpointSeconds: 0 };
    for (const run of await Promise.allSettled([runBatch(job), runBatch(job)])) {
      const { message } = run.status === 'rejected' ? (run.reason as Error) : { message: '' };
      expect(message).toMatch(/^$|another run has taken this job over|exists already/);
    }
    expect((await readFile(job.output, 'utf8')).trimEnd().split('\n')).toHaveLength(20);
  }
});
