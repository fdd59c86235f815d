/** A value that components watch, and that outlives them: one session, one theme, one history. */
import { useEffect, useState } from "preact/hooks";

export interface Store<T> {
  get(): T;
  set(next: T): void;
  /** @returns what ends it. */
  watch(onChange: (value: T) => void): () => void;
}

export function makeStore<T>(first: T): Store<T> {
  let value = first;
  const watchers = new Set<(value: T) => void>();
  return {
    get: () => value,
    set(next) {
      value = next;
      for (const watcher of watchers) watcher(next);
    },
    watch(onChange) {
      watchers.add(onChange);
      return () => watchers.delete(onChange);
    },
  };
}

export function useStore<T>(store: Store<T>): T {
  const [value, setValue] = useState(store.get());
  useEffect(() => {
    // It may have changed between drawing and watching.
    setValue(store.get());
    return store.watch(setValue);
  }, [store]);
  return value;
}
