/** Message parts that all checkpoint errors share: where, expected what, received what. */
import { SpeccascadeError, type ErrorCode } from '../errors.ts';

const longestShown = 120;

/** A value as a message shows it: JSON, cut when it is long. */
export function show(value: unknown): string {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    return 'a value too deep or too large to show'; // files can hold such, callers cycles and bigints
  }
  return text.length <= longestShown ? text : `${text.slice(0, longestShown)}...`;
}

/** The file or its content is wrong. `where` is the file, and the tensor where there is one. */
export function checkpointError(where: string, problem: string, cause?: unknown): SpeccascadeError {
  return build('ERR_CHECKPOINT', where, problem, cause);
}

/** A value of a configuration file is wrong. `where` is the file and the key. */
export function configError(where: string, problem: string, cause?: unknown): SpeccascadeError {
  return build('ERR_CONFIG', where, problem, cause);
}

function build(code: ErrorCode, where: string, problem: string, cause: unknown): SpeccascadeError {
  return new SpeccascadeError(code, `${where}: ${problem}`, cause === undefined ? {} : { cause });
}

/** Node's error code of a failed file operation ('ENOENT', ...), '' where there is none. */
export function systemCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}
