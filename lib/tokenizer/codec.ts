/** What each kind of tokenizer provides; the Tokenizer class adds the rest. */
import type { Stage } from './stages.ts';

export interface Codec {
  readonly kind: 'tokenizer.json' | 'spiece.model' | 'byt5';
  /** Piece by id; ids that stand for nothing are holes. */
  readonly pieces: readonly string[];
  /** Ids left out of decoded text unless asked for. */
  readonly specialIds: ReadonlySet<number>;
  /** Ids of a well-formed text, end token included. */
  encode(text: string): number[];
  /** A fresh decoder. */
  decoder(): Stage;
}
