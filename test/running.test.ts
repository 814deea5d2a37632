/** Events of the engine, dealt to the outputs that they belong to. */
import { describe, expect, it } from 'vitest';
import { SpeccascadeError } from '../lib/index.ts';
import type { NativeEvent } from '../lib/native.ts';
import { ResultBuilder } from '../lib/session/result.ts';
import { emptyEvent, RunningOutput, RunningRequests } from '../lib/session/running.ts';
import type { Tokenizer } from '../lib/tokenizer.ts';

const refused = new SpeccascadeError('ERR_INPUT', 'token id 9 is not one of 0 to 8');

/** Has no text for token 9. */
const tokenizer = {
  decode(ids: number[]) {
    if (ids.includes(9)) throw refused;
    return ids.join(' ');
  },
} as Tokenizer;

function output(onEvent?: (event: NativeEvent) => void): RunningOutput {
  const options = { drafters: 0, logprobs: false };
  return new RunningOutput(new ResultBuilder(1n, tokenizer, options), (error) => error, onEvent);
}

function event(request: number, token: number, own: Partial<NativeEvent> = {}): NativeEvent {
  return {
    ...emptyEvent,
    request,
    tokens: Int32Array.of(token),
    ...own,
  };
}

function running(...outputs: RunningOutput[]) {
  const cancelled: number[] = [];
  const requests = new RunningRequests((id) => cancelled.push(id));
  outputs.forEach((one, id) => requests.add(id, [one], undefined));
  return { requests, cancelled };
}

describe('an output that throws', () => {
  it('when it has ended is rejected alone', async () => {
    const [bad, good] = [output(), output()];
    const { requests } = running(bad, good);
    requests.dispatch([event(0, 9, { finish: 'eos' }), event(1, 5, { finish: 'eos' })]);
    await expect(bad.promise).rejects.toBe(refused);
    expect((await good.promise).text).toBe('5');
    await requests.idle();
    expect([requests.queued, requests.running]).toEqual([0, 0]);
  });

  it('on its way is rejected at once, cancelled, and no longer told of what comes', async () => {
    const told: number[] = [];
    const bad = output(({ tokens }) => {
      told.push(tokens[0]!);
      if (tokens[0] === 9) throw refused;
    });
    const good = output();
    const { requests, cancelled } = running(bad, good);
    requests.dispatch([event(0, 4), event(0, 9), event(1, 5)]);
    await expect(bad.promise).rejects.toBe(refused);
    expect([cancelled, requests.running]).toEqual([[0], 2]);
    requests.dispatch([event(0, 6, { finish: 'aborted' }), event(1, 6, { finish: 'length' })]);
    expect((await good.promise).text).toBe('5 6');
    await requests.idle();
    expect({ told, running: requests.running }).toEqual({ told: [4, 9], running: 0 });
  });
});
