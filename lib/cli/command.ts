/** What a command is: its table of options, its help and what it does. One file each. */
import { commandHelp } from './help.ts';
import { flag, readOptions, UsageError, type OptionTable, type Values } from './options.ts';
import type { Terminal } from './terminal.ts';

/** What a command works with, besides its options. */
export interface Context {
  terminal: Terminal;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
}

export interface Command {
  name: string;
  /** A line for the program's own help. */
  summary: string;
  /** Returns the exit code. Throws UsageError, SpeccascadeError, OutputClosed. */
  run(argv: string[], context: Context): Promise<number>;
}

interface CommandSpec<T extends OptionTable> {
  name: string;
  summary: string;
  /** The arguments besides options, as the usage line shows them. */
  operands: string;
  /** How many of them there may be. */
  operandCount: { min: number; max: number };
  about: string;
  options: T;
  examples: readonly string[];
  /** Returns the exit code: 0, or 1 where failures were reported along the way. */
  run(values: Values<T>, operands: string[], context: Context): Promise<number>;
}

export function defineCommand<T extends OptionTable>(spec: CommandSpec<T>): Command {
  const { name, summary, operandCount } = spec;
  const options = { ...spec.options, help: flag('this text') };
  return {
    name,
    summary,
    async run(argv, context) {
      // Asked for help, the rest of the line need not be right.
      const beforeOperands = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
      if (beforeOperands.some((word) => word === '--help' || word === '-h')) {
        await context.terminal.write(commandHelp({ ...spec, options }));
        return 0;
      }
      const { values, positionals } = readOptions(spec.options, argv);
      if (positionals.length > operandCount.max) {
        const surplus = JSON.stringify(positionals[operandCount.max]);
        throw new UsageError(`unexpected argument ${surplus}`);
      }
      if (positionals.length < operandCount.min) throw new UsageError(`missing ${spec.operands}`);
      return spec.run(values, positionals, context);
    },
  };
}
