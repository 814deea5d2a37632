/** Inputs of similar length side by side, and their results back in order. */

/** An item with its place in its block, and how many the block has. */
export interface Placed<T> {
  item: T;
  place: number;
  block: number;
}

/** Blocks of `window` items (the last may have fewer), the longest items of each first. */
export async function* longestFirst<T>(
  items: AsyncIterable<T>,
  window: number,
  length: (item: T) => number,
): AsyncGenerator<Placed<T>, void, undefined> {
  let block: T[] = [];
  const sorted = (): Placed<T>[] => {
    const placed = block.map((item, place) => ({ item, place, block: block.length }));
    block = [];
    return placed.sort((a, b) => length(b.item) - length(a.item));
  };
  for await (const item of items) {
    block.push(item);
    if (block.length === window) yield* sorted();
  }
  yield* sorted();
}

/** The items of each block by their places, each as soon as those before it are there. */
export async function* inPlace<T>(
  placed: AsyncIterable<Placed<T>>,
): AsyncGenerator<T, void, undefined> {
  const waiting = new Map<number, T>();
  let next = 0;
  for await (const { item, place, block } of placed) {
    waiting.set(place, item);
    while (waiting.has(next)) {
      const first = waiting.get(next)!;
      waiting.delete(next);
      next += 1;
      yield first;
    }
    if (next === block) next = 0;
  }
}
