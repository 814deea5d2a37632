/** What a promise is rejected with, which has to be. */
import { expect } from 'vitest';
import type { SpeccascadeError } from '../../lib/index.ts';

export function caught(work: Promise<unknown>): Promise<SpeccascadeError> {
  return work.then(
    () => expect.unreachable('it did not fail'),
    (reason: unknown) => reason as SpeccascadeError,
  );
}
