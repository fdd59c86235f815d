/** What the tests of the audit trail share. */
import type { AuditReport } from "#contracts/audit";
import type { Database } from "../testing.ts";
import type { ChainDocument, HeadsDocument, NoteDocument } from "./documents.ts";
import { auditKeyOf } from "./seal.ts";
import { auditSource } from "./source.ts";
import { type KeptHead, type StoredEntry, verify } from "./verify.ts";

/** What loggers seal with that are given no secret. */
export const KEY = auditKeyOf("development only, known to everybody");

export type Entry = StoredEntry & Record<string, unknown>;

/** All that there is of an audit trail. */
export interface Trail {
  heads: HeadsDocument[];
  chains: ChainDocument[];
  notes: NoteDocument[];
  entries: Entry[];
  /** Entries of other names, which stand in the place of some. */
  others: Entry[];
}

export function verifyDatabase(database: Database, keys = [KEY]): Promise<AuditReport> {
  const source = auditSource(database.logs as never, new AbortController().signal);
  return verify({ source, keys });
}

export async function trailOf(database: Database): Promise<Trail> {
  const db = database.client.db(database.name);
  const all = (name: string) =>
    db
      .collection(name)
      .find()
      .toArray()
      .then((documents) => documents as unknown[]);
  const logs = (await all("logs")) as Entry[];
  return {
    heads: (await all("log_audit_heads")) as HeadsDocument[],
    chains: ((await all("log_audit_chains")) as ChainDocument[]).toSorted((a, b) => a._id - b._id),
    notes: (await all("log_audit_notes")) as NoteDocument[],
    entries: logs.filter(({ name }) => name === "audit").map(({ _id, ...entry }) => entry),
    others: logs.filter(({ name }) => name !== "audit"),
  };
}

async function* each<T>(items: readonly T[]): AsyncIterable<T> {
  yield* items;
}

export function verifyTrail(
  { heads, chains, notes, entries, others }: Trail,
  kept: readonly KeptHead[] = [],
): Promise<AuditReport> {
  // Names may have been changed: a store finds by what is there.
  const audit = entries.filter(({ name }) => name === "audit");
  return verify({
    keys: [KEY],
    kept,
    source: {
      heads: async () => heads,
      chains: () => each(chains),
      chain: async (number) => chains.find(({ _id }) => _id === number),
      notes: () => each(notes),
      entries: () => each(audit),
      entry: async (eventId) => [...entries, ...others].find(({ event_id: id }) => id === eventId),
    },
  });
}
