/** Whether an input is the one that it was: a hash of its records. */
import { createHash, type Hash } from 'node:crypto';
import { SpeccascadeError } from '../errors.ts';
import type { Source } from './input.ts';

export class InputHash {
  readonly #hash: Hash = createHash('sha256');

  add(source: Source): void {
    this.#hash.update(source instanceof SpeccascadeError ? source.message : source).update('\n');
  }

  get value(): string {
    return this.#hash.copy().digest('hex');
  }
}
