/** What a call throws: its code, or its message; 'none' when it does not throw. */
import { SpeccascadeError } from '../../../lib/index.ts';

function thrown(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

export function codeOf(call: () => unknown): string {
  const error = thrown(call);
  if (error instanceof SpeccascadeError) return error.code;
  return error === undefined ? 'none' : 'another error';
}

export function messageOf(call: () => unknown): string {
  const error = thrown(call);
  return error instanceof Error ? error.message : 'none';
}
