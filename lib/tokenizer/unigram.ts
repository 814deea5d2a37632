/**
 * The unigram language model of SentencePiece: the segmentation of a word into pieces whose scores
 * (log-probabilities) have the largest sum. Ties go to the segmentation found first, as in the
 * reference, and the sums are doubles, as there.
 */
import { PieceTrie } from './piece-trie.ts';

/** What the model is made of. */
interface UnigramTable {
  /** Piece by id. */
  pieces: readonly string[];
  /** Score by id; -Infinity for a piece that text never turns into (control pieces, bytes, unused). */
  scores: ArrayLike<number>;
  /** Id that stands for characters no piece covers. */
  unkId: number;
  /** Id of each byte, for models that spell unknown characters in bytes. */
  byteIds?: readonly number[] | undefined;
}

/** How far an unknown character's score lies below the least probable piece. */
const unknownPenalty = 10;
/** Words kept with their pieces, and the longest one kept. Text repeats itself: this is 3x faster. */
const cachedWords = 20_000;
const cachedWordLength = 32;

export class Unigram {
  readonly #table: UnigramTable;
  readonly #trie = new PieceTrie();
  readonly #unkScore: number;
  readonly #cache = new Map<string, readonly number[]>();

  constructor(table: UnigramTable) {
    this.#table = table;
    let least = Infinity;
    table.pieces.forEach((piece, id) => {
      const score = table.scores[id]!;
      if (score === -Infinity) return;
      this.#trie.add(piece, id);
      if (score < least) least = score;
    });
    this.#unkScore = (least === Infinity ? 0 : least) - unknownPenalty;
  }

  /** The ids of one word. Time grows with its length times the length of the pieces that match. */
  encode(word: string): readonly number[] {
    const known = this.#cache.get(word);
    if (known) return known;
    const ids = this.#segment(word);
    if (word.length <= cachedWordLength) {
      if (this.#cache.size >= cachedWords) this.#cache.clear();
      this.#cache.set(word, ids);
    }
    return ids;
  }

  /** Best segmentation by dynamic programming from left to right. */
  #segment(word: string): number[] {
    const { scores, unkId } = this.#table;
    const best = new Float64Array(word.length + 1).fill(-Infinity);
    const from = new Int32Array(word.length + 1);
    const last = new Int32Array(word.length + 1);
    best[0] = 0;

    for (let i = 0; i < word.length;) {
      const width = word.codePointAt(i)! > 0xffff ? 2 : 1;
      const offer = (end: number, score: number, id: number): void => {
        if (best[i]! + score <= best[end]!) return;
        best[end] = best[i]! + score;
        from[end] = i;
        last[end] = id;
      };
      let covered = false;
      let node = 0;
      for (let end = i; end < word.length;) {
        node = this.#trie.child(node, word.charCodeAt(end++));
        if (node < 0) break;
        const id = this.#trie.idAt(node);
        if (id < 0) continue;
        offer(end, scores[id]!, id);
        if (end === i + width) covered = true;
      }
      if (!covered) offer(i + width, this.#unkScore, unkId);
      i += width;
    }
    return this.#path(word, from, last);
  }

  /** The chosen ids in order; a run of unknown characters is one unknown id, or its bytes. */
  #path(word: string, from: Int32Array, last: Int32Array): number[] {
    const { unkId, byteIds } = this.#table;
    const ids: number[] = [];
    for (let end = word.length; end > 0; end = from[end]!) {
      const id = last[end]!;
      if (id === unkId && byteIds) {
        const bytes = Buffer.from(word.slice(from[end], end), 'utf8');
        for (const byte of bytes.reverse()) ids.push(byteIds[byte]!);
      } else if (id !== unkId || ids.at(-1) !== unkId) {
        ids.push(id);
      }
    }
    return ids.reverse();
  }
}
