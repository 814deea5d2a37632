/** Standard output and error: who is looking, in which colours, and what happens when they close. */
import { ioError } from '../errors.ts';

/** The reader of standard output has left (`| head`): no failure, and nothing more to do. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed';
}

type Stream = NodeJS.WriteStream;

export class Terminal {
  /** Whether a person sees standard output. */
  readonly outIsTty: boolean;
  readonly errIsTty: boolean;
  /** Whether standard output, and standard error, take colours (NO_COLOR and TERM respected). */
  readonly outColours: boolean;
  readonly errColours: boolean;
  readonly #out: Stream;
  readonly #err: Stream;

  constructor(out: Stream = process.stdout, err: Stream = process.stderr) {
    this.#out = out;
    this.#err = err;
    this.outIsTty = out.isTTY === true;
    this.errIsTty = err.isTTY === true;
    this.outColours = this.outIsTty && out.hasColors();
    this.errColours = this.errIsTty && err.hasColors();
    // write() tells the failure; without listeners it would end the process besides.
    out.on('error', () => {});
    err.on('error', () => {});
  }

  /** Writes results; resolves when they are out, so that a slow reader slows the work down. */
  async write(text: string): Promise<void> {
    const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
      this.#out.write(text, (failure) => resolve(failure ?? null));
    });
    if (error === null) return;
    if (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED') throw new OutputClosed();
    throw ioError('standard output', error);
  }

  /** A line on standard error: what is said about the work, as against its results. */
  note(line: string): void {
    this.#err.write(`${line}\n`);
  }

  /** Standard error without a line end, for prompts and lines that are written over. */
  noteInline(text: string): void {
    this.#err.write(text);
  }
}

/** Text of a model or a file as a terminal may see it: control characters cannot steer it. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- they are what is looked for
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '\uFFFD');
}

export const dim = (text: string, colours: boolean): string =>
  colours ? `\x1b[2m${text}\x1b[22m` : text;
export const green = (text: string, colours: boolean): string =>
  colours ? `\x1b[32m${text}\x1b[39m` : text;
