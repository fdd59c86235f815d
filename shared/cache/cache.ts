/** In this process, bounded in number and age; and in Redis, where replicas share one. */
import { LRUCache } from "lru-cache";
import { ok, type Result } from "#shared/errors";
import type { Redis } from "#shared/redis";
import type { Metrics } from "#shared/telemetry";
import { makeSharedEntries, type SharedEntries } from "./shared-entries.ts";

/** How values are written for Redis. `read` gives undefined for what is not (any more) one of ours. */
export interface Codec<T> {
  write(value: T, key: string): Buffer;
  read(bytes: Buffer, key: string): T | undefined;
}

export interface CacheOptions<T> {
  /** In metrics, and what keys in Redis begin with. */
  readonly name: string;
  /** Entries in this process at most: then the one that was asked for longest ago goes. */
  readonly maxEntries: number;
  /** Longest that an entry counts since it was loaded began (ms), wherever it is kept. */
  readonly ttlMs: number;
  readonly metrics: Metrics;
  /** Kept there too, where given. */
  readonly shared?: { readonly redis: Pick<Redis, "run" | "command">; readonly codec: Codec<T> } | undefined;
  /** Milliseconds of a clock that never steps (default `performance.now`). */
  readonly now?: () => number;
}

export interface Cache<T extends object> {
  /**
   * What is known of an item, else what `load` finds; undefined and failures are not kept. Who asks for the same item
   * while it is loaded gets the same answer.
   * @param group what it is forgotten by, e.g. a user's id; without `/` in it. @param item which one of the group.
   */
  get(group: string, item: string, load: () => Promise<Result<T | undefined>>): Promise<Result<T | undefined>>;
  /** The group has changed, here and in Redis. What is being loaded just now is not kept, since it may be from before. */
  forget(group: string): void;
  /** The same for the groups that have such an item, as far as this process has it; in Redis nothing is known of it. */
  forgetItem(item: string): void;
  /** Nobody knows what has changed: everything in this process is forgotten. What is in Redis ends by its age. */
  clear(): void;
}

interface Entry<T> {
  readonly value: T;
  readonly until: number;
}

interface Loading<T> {
  readonly outcome: Promise<Result<T | undefined>>;
  /** Something was forgotten meanwhile that it may be. */
  outdated: boolean;
}

export function makeCache<T extends object>(options: CacheOptions<T>): Cache<T> {
  const { name, maxEntries, ttlMs, metrics, shared, now = () => performance.now() } = options;
  const reads = metrics.counter("cache_reads_total", "Reads of a cache, by where the answer is from.", [
    "cache",
    "from",
  ]);
  const forgotten = metrics.counter(
    "cache_invalidations_total",
    "Announced changes that a cache forgot something for.",
    ["cache"],
  );
  metrics.gauge("cache_entries", "Entries of a cache in this process.", ["cache"], (gauge) =>
    gauge.set({ cache: name }, entries.size),
  );
  /** Keys by group and by item, so that forgetting looks at nothing else. */
  const byGroup = makeIndex();
  const byItem = makeIndex();
  const entries = new LRUCache<string, Entry<T>>({
    max: maxEntries,
    noDisposeOnSet: true,
    dispose: (_entry, key) => {
      byGroup.remove(groupOf(key), key);
      byItem.remove(itemOf(key), key);
    },
  });
  const loading = new Map<string, Loading<T>>();
  const others: SharedEntries<T> | undefined =
    shared === undefined ? undefined : makeSharedEntries({ name, ...shared });

  function keep(group: string, item: string, entry: Entry<T>): void {
    const key = keyOf(group, item);
    entries.set(key, entry);
    byGroup.add(group, key);
    byItem.add(item, key);
  }

  async function load(
    group: string,
    item: string,
    from: () => Promise<Result<T | undefined>>,
    mine: Loading<T>,
  ): Promise<Result<T | undefined>> {
    const until = now() + ttlMs;
    const found = await others?.find(group, item);
    if (found?.value !== undefined && !mine.outdated) {
      reads.inc({ cache: name, from: "redis" });
      keep(group, item, { value: found.value, until: Math.min(until, now() + found.leftMs) });
      return ok(found.value);
    }
    reads.inc({ cache: name, from: "source" });
    const loaded = await from();
    const leftMs = until - now();
    if (!loaded.ok || loaded.value === undefined || mine.outdated || leftMs <= 0) return loaded;
    keep(group, item, { value: loaded.value, until });
    if (found !== undefined) others?.keep(group, item, loaded.value, { generation: found.generation, leftMs });
    return loaded;
  }

  /** Who asks from now on has to be told of the change: the load before it is for those who asked before. */
  function outdate(fits: (key: string) => boolean): void {
    for (const [key, under] of loading) {
      if (!fits(key)) continue;
      under.outdated = true;
      loading.delete(key);
    }
  }

  function drop(gone: readonly string[], fits: (key: string) => boolean): void {
    outdate(fits);
    for (const key of gone) entries.delete(key);
    forgotten.inc({ cache: name });
  }

  return {
    async get(group, item, from) {
      const key = keyOf(group, item);
      const known = entries.get(key);
      if (known !== undefined && now() < known.until) {
        reads.inc({ cache: name, from: "process" });
        return ok(known.value);
      }
      const under = loading.get(key);
      if (under !== undefined) {
        reads.inc({ cache: name, from: "loading" });
        return under.outcome;
      }
      const { promise, resolve, reject } = Promise.withResolvers<Result<T | undefined>>();
      const mine: Loading<T> = { outcome: promise, outdated: false };
      loading.set(key, mine);
      load(group, item, from, mine)
        .finally(() => {
          if (loading.get(key) === mine) loading.delete(key);
        })
        .then(resolve, reject);
      return promise;
    },
    forget(group) {
      drop(byGroup.keysOf(group), (key) => groupOf(key) === group);
      others?.forget(group);
    },
    forgetItem: (item) => drop(byItem.keysOf(item), (key) => itemOf(key) === item),
    clear: () => drop([...entries.keys()], () => true),
  };
}

const keyOf = (group: string, item: string): string => `${group}/${item}`;
const groupOf = (key: string): string => key.slice(0, key.indexOf("/"));
const itemOf = (key: string): string => key.slice(key.indexOf("/") + 1);

/** Keys by something that they have in common. */
function makeIndex() {
  const index = new Map<string, Set<string>>();
  return {
    keysOf: (name: string): string[] => [...(index.get(name) ?? [])],
    add(name: string, key: string): void {
      const keys = index.get(name);
      if (keys === undefined) index.set(name, new Set([key]));
      else keys.add(key);
    },
    remove(name: string, key: string): void {
      const keys = index.get(name);
      keys?.delete(key);
      if (keys?.size === 0) index.delete(name);
    },
  };
}
