/** New rules for entries that are stored already: each gets its new time, in small batches, slot by slot. */
import type { ObjectId } from "mongodb";
import { Deadline } from "#shared/resilience";
import type { LogDocument } from "../documents.ts";
import type { Logs } from "../mongo.ts";
import { hourOf, retentionOf, type SlotDocument } from "./documents.ts";
import { AUDIT, expiryOf, type Policy } from "./policy.ts";
import { SLOT_ENTRIES } from "./slots.ts";
import { STEP_MS } from "./sweep.ts";

const SLOTS_AT_ONCE = 50;
/** Nothing is to go sooner: whoever set a wrong rule has the time to take it back (ms). */
const SOONEST_MS = 10 * 60_000;
/** Entries without a slot that are given one by one command: FerretDB needs a connection for each, and has 50. */
const CHUNK = 200;
const CHUNK_FERRETDB = 10;

interface TimeOptions {
  readonly policy: Policy;
  readonly now: () => number;
}

export interface RetimeOptions extends TimeOptions {
  readonly isFerretdb: boolean;
  /** As in `sweep`. */
  readonly between: (tookMs: number) => Promise<boolean>;
}

type Known = Pick<LogDocument, "name" | "severity"> &
  Partial<Pick<LogDocument, "stored_at" | "created_at">> & { readonly _id: ObjectId };

const PROJECTION = { name: 1, severity: 1, stored_at: 1, created_at: 1 } as const;

const deadline = (): Deadline => Deadline.after(STEP_MS);

/** When an entry goes by `policy`; undefined for never. */
function timeOf({ name, severity, stored_at, created_at }: Known, { policy, now }: TimeOptions): number | undefined {
  const keepMs = policy.keepMs(name, severity);
  if (keepMs === Number.POSITIVE_INFINITY) return undefined;
  // Documents of older writers do not say when they were stored.
  const at = (stored_at ?? created_at ?? new Date()).getTime();
  return expiryOf(Math.max(at, now() + SOONEST_MS - keepMs), keepMs);
}

/**
 * Gives every entry the time that it has by the rules of now. Idempotent, and goes on where it was interrupted.
 * @returns whether all have it. @throws as `sweep`.
 */
export async function retime(logs: Logs, options: RetimeOptions): Promise<boolean> {
  const { slots } = retentionOf(logs);
  const { fingerprint } = options.policy;
  for (;;) {
    const other = slots.find({ rules: { $ne: fingerprint } }).limit(SLOTS_AT_ONCE);
    const found = await deadline().bound(other.toArray(), "MongoDB");
    if (found.length === 0) break;
    for (const slot of found) {
      const startedAt = performance.now();
      await retimeSlot(logs, slot, options);
      if (!(await options.between(performance.now() - startedAt))) return false;
    }
  }
  return options.policy.keepsAll || placeOthers(logs, options);
}

/** Gives what is in one slot its time: all of a name and severity go together. */
export async function retimeSlot(logs: Logs, slot: SlotDocument, options: TimeOptions): Promise<void> {
  const { slots } = retentionOf(logs);
  const expire_slot = slot._id;
  const entries = await deadline().bound(
    logs.find<Known>({ expire_slot }, { projection: PROJECTION, maxTimeMS: STEP_MS }).toArray(),
    "MongoDB",
  );
  const kinds = new Map<string, { name: string; severity: string; at: number | undefined; count: number }>();
  for (const entry of entries) {
    const { name, severity } = entry;
    const key = `${severity}\0${name}`;
    const at = timeOf(entry, options);
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, { name, severity, at, count: 1 });
    else {
      kind.count += 1;
      // The last of them decides, so that none goes too soon.
      if (at !== undefined && kind.at !== undefined) kind.at = Math.max(kind.at, at);
    }
  }
  const moved = new Map<number, string>();
  for (const { name, severity, at } of kinds.values()) {
    if (at === slot.expire_at.getTime()) continue;
    const which = { expire_slot, name, severity };
    if (at === undefined) {
      await deadline().bound(logs.updateMany(which, { $unset: { expire_at: "", expire_slot: "" } }), "MongoDB");
      continue;
    }
    const id = moved.get(at) ?? Bun.randomUUIDv7();
    if (!moved.has(at)) {
      const together = [...kinds.values()].filter((kind) => kind.at === at);
      const count = together.reduce((sum, kind) => sum + kind.count, 0);
      await insertSlot(logs, id, at, count, options);
      moved.set(at, id);
    }
    const update = { $set: { expire_at: new Date(at), expire_slot: id } };
    await deadline().bound(logs.updateMany(which, update), "MongoDB");
  }
  // What may still be on its way into it goes at its old time, and it with that.
  const rules = { $set: { rules: options.policy.fingerprint } };
  await deadline().bound(slots.updateOne({ _id: expire_slot }, rules), "MongoDB");
}

async function insertSlot(logs: Logs, id: string, at: number, entries: number, options: TimeOptions): Promise<void> {
  const rules = options.policy.fingerprint;
  const document = { _id: id, expire_at: new Date(at), hour: hourOf(at), entries, rules };
  await deadline().bound(retentionOf(logs).slots.insertOne(document), "MongoDB");
}

/** Entries that have been kept for ever so far. */
async function placeOthers(logs: Logs, options: RetimeOptions): Promise<boolean> {
  const chunk = options.isFerretdb ? CHUNK_FERRETDB : CHUNK;
  const open = new Map<number, { id: string; room: number }>();
  const place = async (entries: readonly { readonly _id: ObjectId; readonly at: number }[]): Promise<void> => {
    const updates = [];
    for (const { _id, at } of entries) {
      let slot = open.get(at);
      if (slot === undefined || slot.room === 0) {
        slot = { id: Bun.randomUUIDv7(), room: SLOT_ENTRIES };
        open.set(at, slot);
        await insertSlot(logs, slot.id, at, SLOT_ENTRIES, options);
      }
      slot.room -= 1;
      const update = { $set: { expire_at: new Date(at), expire_slot: slot.id } };
      updates.push({ updateOne: { filter: { _id }, update } });
    }
    if (updates.length > 0) await deadline().bound(logs.bulkWrite(updates, { ordered: false }), "MongoDB");
  };
  const others = logs.find<Known>(
    { expire_slot: { $exists: false }, name: { $ne: AUDIT } },
    { projection: PROJECTION, batchSize: CHUNK },
  );
  let waiting: { _id: ObjectId; at: number }[] = [];
  try {
    for (;;) {
      const entry = await deadline().bound(others.next(), "MongoDB");
      const at = entry === null ? undefined : timeOf(entry, options);
      if (entry !== null && at !== undefined) waiting.push({ _id: entry._id, at });
      if (waiting.length < chunk && entry !== null) continue;
      const startedAt = performance.now();
      await place(waiting);
      waiting = [];
      if (entry === null) return true;
      if (!(await options.between(performance.now() - startedAt))) return false;
    }
  } finally {
    await others.close().catch(() => undefined); // The connection was lost first.
  }
}
