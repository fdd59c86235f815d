/** The audit trail out of MongoDB: talks, never decides. */
import type { Logs } from "../mongo.ts";
import { auditOf, type ChainDocument } from "./documents.ts";
import { AUDIT_FILTER } from "./name.ts";
import type { AuditSource, StoredEntry } from "./verify.ts";

/** Documents that are decoded at one go: a few milliseconds, in which nobody else is served. */
const BATCH = 500;

/** All of it ends, by what the driver throws, with `signal`. */
export function auditSource(logs: Logs, signal: AbortSignal): AuditSource {
  const { chains, notes, heads } = auditOf(logs);
  const options = { batchSize: BATCH, signal };
  return {
    heads: () => heads.find({}, options).toArray(),
    // One that somebody has removed a field from is no less to be looked at.
    chains: () => chains.find({}, options).sort({ _id: 1 }) as AsyncIterable<ChainDocument>,
    chain: async (number) => (await chains.findOne({ _id: number }, { signal })) ?? undefined,
    notes: () => notes.find({}, options),
    entries: () => logs.find(AUDIT_FILTER, options) as AsyncIterable<StoredEntry>,
    entry: async (eventId) => (await logs.findOne({ event_id: eventId }, { signal })) ?? undefined,
  };
}
