/** One session on a tiny model without a tokenizer, for all tests of a file. */
import { afterAll, beforeAll } from 'vitest';
import {
  createSession,
  type DecodeSession,
  type SessionOptions,
  type T5Model,
} from '../../lib/index.ts';
import { loadGolden } from './models.ts';

/** Opened before the file's tests, given to `take`, and closed after them. */
export function withTinySession(
  options: Omit<SessionOptions, 'target'>,
  take: (session: DecodeSession) => void,
): void {
  let target: T5Model;
  let session: DecodeSession;
  beforeAll(async () => {
    target = await loadGolden('relu-tied');
    session = await createSession({ target, ...options });
    take(session);
  });
  afterAll(async () => {
    await session.close();
    await target.dispose();
  });
}
