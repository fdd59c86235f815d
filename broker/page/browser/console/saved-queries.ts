/** Questions that somebody wants to ask again: each is an address with a name. They stay in this browser. */
import { makeStore } from "./store.ts";
import { toast } from "./ui.tsx";

export interface SavedQuery {
  readonly name: string;
  /** Of the page, without its question mark. */
  readonly search: string;
}

const KEY = "platform.log-queries";
const MOST = 50;
/** Of a name (characters). */
export const NAME_MAX = 80;

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

/** @returns what undoes it. */
function keep(queries: readonly SavedQuery[]): () => void {
  const before = savedQueries.get();
  put(queries);
  return () => put(before);
}

function put(queries: readonly SavedQuery[]): void {
  savedQueries.set(queries);
  try {
    localStorage.setItem(KEY, JSON.stringify(queries));
  } catch (error) {
    toast("This browser does not keep them: they are gone with the page", { tone: "warn", detail: String(error) });
  }
}

/** One of the same name is replaced; of more than 50 the oldest goes. @returns what undoes it. */
export function saveQuery(query: SavedQuery): () => void {
  return keep([query, ...savedQueries.get().filter(({ name }) => name !== query.name)].slice(0, MOST));
}

/** @returns what undoes it. */
export function renameQuery(name: string, next: string): () => void {
  return keep(savedQueries.get().map((one) => (one.name === name ? { ...one, name: next } : one)));
}

/** @returns what undoes it. */
export function forgetQuery(name: string): () => void {
  return keep(savedQueries.get().filter((one) => one.name !== name));
}
