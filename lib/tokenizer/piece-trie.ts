/** Finds all pieces that begin at a position: a trie over UTF-16 units, kept in one hash table. */
export class PieceTrie {
  #nodes = new Int32Array(1 << 12).fill(-1);
  #units = new Uint16Array(1 << 12);
  #children = new Int32Array(1 << 12);
  #edges = 0;
  #ids: number[] = [-1];

  /** Adds a piece; a piece given twice keeps the later id. The empty piece is ignored. */
  add(piece: string, id: number): void {
    let node = 0;
    for (let i = 0; i < piece.length; i++) node = this.#childOrNew(node, piece.charCodeAt(i));
    if (node !== 0) this.#ids[node] = id;
  }

  /** The node reached from `node` (0 is the root) by one UTF-16 unit, or -1. */
  child(node: number, unit: number): number {
    const slot = this.#slot(node, unit);
    return this.#nodes[slot] === -1 ? -1 : this.#children[slot]!;
  }

  /** The id of the piece that ends at `node`, or -1. */
  idAt(node: number): number {
    return this.#ids[node]!;
  }

  #childOrNew(node: number, unit: number): number {
    const slot = this.#slot(node, unit);
    if (this.#nodes[slot] !== -1) return this.#children[slot]!;
    const created = this.#ids.push(-1) - 1;
    this.#nodes[slot] = node;
    this.#units[slot] = unit;
    this.#children[slot] = created;
    if (++this.#edges * 2 > this.#nodes.length) this.#grow();
    return created;
  }

  /** The slot that holds this edge, or the free slot where it belongs (linear probing). */
  #slot(node: number, unit: number): number {
    const mask = this.#nodes.length - 1;
    let hash = Math.imul(node, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & mask;
    while (this.#nodes[slot] !== -1 && (this.#nodes[slot] !== node || this.#units[slot] !== unit)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(): void {
    const nodes = this.#nodes;
    const units = this.#units;
    const children = this.#children;
    this.#nodes = new Int32Array(nodes.length * 2).fill(-1);
    this.#units = new Uint16Array(nodes.length * 2);
    this.#children = new Int32Array(nodes.length * 2);
    nodes.forEach((node, i) => {
      if (node === -1) return;
      const slot = this.#slot(node, units[i]!);
      this.#nodes[slot] = node;
      this.#units[slot] = units[i]!;
      this.#children[slot] = children[i]!;
    });
  }
}
