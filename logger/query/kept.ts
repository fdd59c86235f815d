/**
 * Numbered things in memory, the highest numbers of them as far as they fit. Not those that were used last: a question goes
 * through all from the newest on, and would find of more than fit none.
 */
interface Kept<T> {
  get(number: number): T | undefined;
  /** In place of what had the number; not at all where what is higher leaves no room. */
  set(number: number, thing: T): void;
  delete(number: number): void;
  clear(): void;
}

/** @param onFull told when something first does not fit, and again after `clear`. */
export function makeKept<T extends { readonly bytes: number }>(maxBytes: number, onFull?: () => void): Kept<T> {
  const things = new Map<number, T>();
  let bytes = 0;
  let told = false;

  const remove = (number: number): void => {
    bytes -= things.get(number)?.bytes ?? 0;
    things.delete(number);
  };
  const isOver = (): boolean => bytes > maxBytes;
  const lowest = (): number => {
    let least = Number.POSITIVE_INFINITY;
    for (const number of things.keys()) if (number < least) least = number;
    return least;
  };

  return {
    get: (number) => things.get(number),
    set(number, thing) {
      remove(number);
      if (thing.bytes > maxBytes) return;
      things.set(number, thing);
      bytes += thing.bytes;
      while (isOver()) {
        if (!told) onFull?.();
        told = true;
        remove(lowest());
      }
    },
    delete: remove,
    clear() {
      things.clear();
      bytes = 0;
      told = false;
    },
  };
}
