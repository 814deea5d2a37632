/** The command line as a process: the compiled one (compiled.ts), which starts three times sooner. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const program = [process.execPath, path.join(root, 'dist', 'cli.js')] as const;
/** The same for a shell. */
export const shellProgram = program.map((part) => `'${part}'`).join(' ');

export interface Ended {
  code: number | null;
  out: string;
  err: string;
}

export function start(args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(program[0], [...program.slice(1), ...args], { cwd: root });
}

export async function end(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, out, err };
}

export async function run(
  args: readonly string[],
  input: string | Uint8Array = '',
): Promise<Ended> {
  const child = start(args);
  child.stdin.on('error', () => {}); // a program that reads no input may close it
  child.stdin.end(input);
  return end(child);
}
