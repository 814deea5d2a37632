#!/usr/bin/env node
/** The command line: finds the command, runs it, and turns its end into an exit code. */
import { batch } from './cli/batch.ts';
import { bench } from './cli/bench.ts';
import { bigrams } from './cli/bigrams.ts';
import { download } from './cli/download.ts';
import { Interrupted, reportFailure } from './cli/failure.ts';
import { generate } from './cli/generate.ts';
import { programHelp } from './cli/help.ts';
import { info } from './cli/info.ts';
import { UsageError } from './cli/options.ts';
import { sweep } from './cli/sweep.ts';
import { Terminal } from './cli/terminal.ts';
import { tune } from './cli/tune.ts';
import { packageVersion } from './version.ts';

/** A new command is its file in cli/ and its name here. */
const commands = [generate, batch, bench, sweep, tune, bigrams, info, download];

async function main(argv: string[], terminal: Terminal, signal: AbortSignal): Promise<number> {
  const [name, ...rest] = argv;
  const command = commands.find((one) => one.name === name);
  if (command !== undefined) return command.run(rest, { terminal, signal });
  if (name === '--help' || name === '-h') {
    await terminal.write(programHelp(commands));
    return 0;
  }
  if (name === '--version') {
    await terminal.write(`${packageVersion()}\n`);
    return 0;
  }
  const known = commands.map((one) => one.name).join(', ');
  if (name === undefined) throw new UsageError(`expected a command: ${known}`);
  const kind = name.startsWith('-') ? 'option' : 'command';
  throw new UsageError(`unknown ${kind} ${JSON.stringify(name)}; the commands are ${known}`);
}

/** Far more than a process takes to end after its last word. */
const staysMs = 500;

const abort = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  // Once: a second Ctrl-C ends the process on the spot.
  process.once(name, () => abort.abort(new Interrupted(name)));
}
const terminal = new Terminal();
const argv = process.argv.slice(2);
try {
  process.exitCode = await main(argv, terminal, abort.signal);
} catch (error) {
  const known = commands.some(({ name }) => name === argv[0]);
  const command = known ? `speccascade ${argv[0]}` : 'speccascade';
  process.exitCode = reportFailure(error, { terminal, signal: abort.signal, command });
  if (abort.signal.reason instanceof Interrupted) endWhatStays(abort.signal.reason);
}

/**
 * A thread that reads a pipe waits for the pipe's writer, and both the event loop and process.exit()
 * for the thread. The signal, which nobody handles any more, waits for nobody.
 */
function endWhatStays({ signal }: Interrupted): void {
  setTimeout(() => process.kill(process.pid, signal), staysMs).unref();
}
