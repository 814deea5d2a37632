/**
 * The runs of a sweep on disk: JSON lines, the first of which says what all results depend on. Each
 * finished run is one appended line, so that an interruption loses at most the run under way.
 */
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { ioError, SpeccascadeError } from '../errors.ts';
import type { Run } from './run.ts';

const logFormat = 'speccascade-sweep/2';

/** What results depend on besides the method: figures under other headers do not mix. */
export type RunHeader = Record<string, string | number | null>;

/** A model's name and what it computes: a name alone may come to mean another model. */
interface ModelLine {
  model: string;
  fingerprint: string;
}

/** Finished runs, wherever they are kept. */
export interface Runs {
  find: (method: string, temperature: number, part: number) => Run | undefined;
  add: (run: Run) => Promise<void>;
}

/** Runs that are not kept on disk. */
export class MemoryRuns implements Runs {
  readonly #runs: Run[] = [];

  find(method: string, temperature: number, part: number): Run | undefined {
    return findRun(this.#runs, method, temperature, part);
  }

  async add(run: Run): Promise<void> {
    this.#runs.push(run);
  }
}

export class RunLog implements Runs {
  readonly runs: Run[];
  readonly #file: string;
  readonly #models: Map<string, string>;

  private constructor(file: string, runs: Run[], models: ModelLine[]) {
    this.#file = file;
    this.runs = runs;
    this.#models = new Map(models.map(({ model, fingerprint }) => [model, fingerprint]));
  }

  /**
   * Opens the log of a sweep, or begins it. ERR_INPUT where the file is that of another sweep, with
   * the first thing in which they differ; ERR_IO.
   */
  static async open(file: string, header: RunHeader, fresh: boolean): Promise<RunLog> {
    const text = fresh ? null : await readIfThere(file);
    const first = line({ format: logFormat, ...header });
    // Also where the process ended while it wrote the header.
    if (text === null || (first.startsWith(text) && text !== first)) {
      await attempt(file, () => writeFile(file, first));
      return new RunLog(file, [], []);
    }
    const end = text.lastIndexOf('\n') + 1;
    const [found, ...rest] = parseLines(file, text.slice(0, end));
    checkHeader(file, found ?? {}, header);
    // A line that was being written when the process ended is no run.
    const whole = Buffer.byteLength(text.slice(0, end));
    if (end < text.length) await attempt(file, () => truncate(file, whole));
    const runs = rest.filter((one): one is Run => 'method' in one);
    const models = rest.filter((one): one is ModelLine => 'model' in one);
    return new RunLog(file, runs, models);
  }

  find(method: string, temperature: number, part: number): Run | undefined {
    return findRun(this.runs, method, temperature, part);
  }

  async add(run: Run): Promise<void> {
    await attempt(this.#file, () => appendFile(this.#file, line(run)));
    this.runs.push(run);
  }

  /** Records what a model's name stands for; ERR_INPUT where it stood for another model before. */
  async addModel(model: string, fingerprint: string): Promise<void> {
    const known = this.#models.get(model);
    if (known === fingerprint) return;
    if (known !== undefined) throw differs(this.#file, `model ${model}`, known, fingerprint);
    await attempt(this.#file, () => appendFile(this.#file, line({ model, fingerprint })));
    this.#models.set(model, fingerprint);
  }
}

function findRun(
  runs: readonly Run[],
  method: string,
  temperature: number,
  part: number,
): Run | undefined {
  return runs.find(
    (run) => run.method === method && run.temperature === temperature && run.part === part,
  );
}

function checkHeader(file: string, found: object, header: RunHeader): void {
  const theirs = found as RunHeader;
  if (theirs['format'] !== logFormat) {
    throw new SpeccascadeError(
      'ERR_INPUT',
      `${file}: expected the runs of a sweep (format ${logFormat}), ` +
        `received format ${String(theirs['format'])}`,
    );
  }
  for (const [name, value] of Object.entries(header)) {
    if (theirs[name] !== value) throw differs(file, name, theirs[name], value);
  }
}

function differs(file: string, name: string, theirs: unknown, ours: unknown): SpeccascadeError {
  return new SpeccascadeError(
    'ERR_INPUT',
    `${file}: ${name} was ${JSON.stringify(theirs)} in the runs so far and is now ` +
      `${JSON.stringify(ours)}; go on with the same, choose another folder, or begin anew`,
  );
}

function parseLines(file: string, text: string): object[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((one, i) => {
      try {
        const value: unknown = JSON.parse(one);
        if (typeof value === 'object' && value !== null) return value;
      } catch {
        // Said below.
      }
      throw new SpeccascadeError(
        'ERR_INPUT',
        `${file}, line ${i + 1}: expected a JSON object, received ${JSON.stringify(one.slice(0, 60))}`,
      );
    });
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw ioError(file, cause);
  }
}

async function attempt(file: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw ioError(file, cause);
  }
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
