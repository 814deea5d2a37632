/** Work on a stream of items, several at a time, with results in the order of the items. */

/** Requests in flight per slot of the batch: enough that a slot that ends is filled at once. */
export const inFlightPerSlot = 4;

/**
 * At most `limit` items are under way or waiting to be taken, so memory is bounded however long
 * the stream; a result is given as soon as it and all before it are there, however slowly the
 * items come. If `work` rejects, iteration ends with its error even while other items are in
 * progress; resolve to a failure value instead.
 */
export async function* inOrder<T, R>(
  items: AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const iterator = items[Symbol.asyncIterator]();
  const running: Promise<R>[] = [];
  let arriving: Promise<IteratorResult<T>> | null = nextOf(iterator);
  try {
    while (arriving !== null || running.length > 0) {
      const item: IteratorResult<T> | null = await nextItem(arriving, running, limit);
      if (item === null) {
        yield await running.shift()!;
      } else if (item.done === true) {
        arriving = null;
      } else {
        const started = work(item.value);
        started.catch(() => {}); // awaited in its turn
        running.push(started);
        arriving = nextOf(iterator);
      }
    }
  } finally {
    // Whoever leaves early waits for no further item: it may be long in coming.
    iterator.return?.().catch(() => {});
  }
}

/** Awaited in its turn, which may come long after it has failed. */
function nextOf<T>(iterator: AsyncIterator<T>): Promise<IteratorResult<T>> {
  const next = iterator.next();
  next.catch(() => {});
  return next;
}

/** The next item, or null when the oldest result is there first or no more may be begun. */
async function nextItem<T>(
  arriving: Promise<IteratorResult<T>> | null,
  running: readonly Promise<unknown>[],
  limit: number,
): Promise<IteratorResult<T> | null> {
  const oldest = running[0];
  if (arriving === null || running.length >= limit) return null;
  if (oldest === undefined) return arriving;
  return Promise.race([arriving, oldest.then(() => null)]);
}
