/** What all that asks MongoDB has in common: how long it may take, what an id that is taken looks like, and looking many ids up. */
import { type Document, MongoServerError } from "mongodb";
import { Deadline } from "#shared/resilience";
import type { LogDocument } from "./documents.ts";
import type { Logs } from "./mongo.ts";

/** Of an error of one write, too. */
export const DUPLICATE_KEY = 11_000;

/** Whether a document was there before under an id that may be there once. */
export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MongoServerError && error.code === DUPLICATE_KEY;
}

/** Options of an operation: the server gives it up at the deadline, and so does the driver. */
export function boundsOf(deadline: Deadline): { maxTimeMS: number; signal: AbortSignal } {
  return { maxTimeMS: Math.max(1, deadline.remainingMs()), signal: deadline.signal };
}

const LOOKED_UP_AT_ONCE = 8;

/**
 * What is stored under ids; what cannot be had within `withinMs` is left out. Each is looked up by itself, and not as one of a
 * list: all that FerretDB hands on to its PostgreSQL is equality. Never throws.
 */
export async function holdersOf<T extends Pick<LogDocument, "event_id"> = LogDocument>(
  logs: Logs,
  eventIds: Iterable<string>,
  { withinMs, projection }: { readonly withinMs: number; readonly projection?: Document },
): Promise<Map<string, T>> {
  const holders = new Map<string, T>();
  const deadline = Deadline.after(withinMs);
  const rest = new Set(eventIds).values();
  const look = async (): Promise<void> => {
    for (const id of rest) {
      if (deadline.passed) return;
      const options = { ...boundsOf(deadline), ...(projection === undefined ? {} : { projection }) };
      const holder = await deadline.bound(logs.findOne<T>({ event_id: id }, options), "MongoDB");
      if (holder !== null) holders.set(id, holder);
    }
  };
  await Promise.allSettled(Array.from({ length: LOOKED_UP_AT_ONCE }, look));
  return holders;
}
