/** Questions that somebody wants to ask again: each is an address with a name. They stay in this browser. */
import { makeStore } from "./store.ts";

export interface SavedQuery {
  readonly name: string;
  /** Of the page, without its question mark. */
  readonly search: string;
}

const KEY = "platform.log-queries";
const MOST = 50;

function read(): readonly SavedQuery[] {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(value) ? value.filter(isSaved) : [];
  } catch {
    // Somebody else's, or cut: there is nothing to be had of it.
    return [];
  }
}

function isSaved(value: unknown): value is SavedQuery {
  const { name, search } = (value ?? {}) as Partial<SavedQuery>;
  return typeof name === "string" && typeof search === "string";
}

export const savedQueries = makeStore<readonly SavedQuery[]>(read());
// Other tabs have them, too.
addEventListener("storage", ({ key }) => key === KEY && savedQueries.set(read()));

function keep(queries: readonly SavedQuery[]): void {
  savedQueries.set(queries);
  localStorage.setItem(KEY, JSON.stringify(queries));
}

/** One of the same name is replaced; of more than 50 the oldest goes. */
export function saveQuery(query: SavedQuery): void {
  keep([query, ...savedQueries.get().filter(({ name }) => name !== query.name)].slice(0, MOST));
}

/** @returns what undoes it. */
export function forgetQuery(name: string): () => void {
  const before = savedQueries.get();
  keep(before.filter((one) => one.name !== name));
  return () => keep(before);
}
