/** Removing what has been kept for its time, slot by slot: small batches, each with a deadline. */
import type { ObjectId } from "mongodb";
import { Deadline } from "#shared/resilience";
import type { LogDocument } from "../documents.ts";
import type { Logs } from "../mongo.ts";
import { hourOf, retentionOf, type SlotDocument } from "./documents.ts";
import { AUDIT } from "./policy.ts";
import type { Removed } from "./removed.ts";

/** Longest for one step (ms). */
export const STEP_MS = 5_000;
/** So long after its time a slot is removed (ms): what was on its way into it has arrived or failed by then. */
export const SETTLE_MS = 30_000;
/** Slots that are looked at, and entries of one that are removed, at one go. */
const SLOTS_AT_ONCE = 50;
const ENTRIES_AT_ONCE = 1_000;
/** Hours before the last finished one that are looked at again: slots of replicas whose clocks are behind. */
const HOURS_AGAIN = 24;

export type Gone = Pick<LogDocument, "event_id" | "name" | "severity"> &
  Partial<Pick<LogDocument, "stored_at" | "producer_id" | "sequence" | "segment">>;

export interface SweepOptions {
  readonly removed: Removed;
  readonly now: () => number;
  /** Of the rules that hold: the policy's fingerprint. */
  readonly rules: string;
  /** Gives a slot of other rules (of a replica that still has them) its time by these. */
  readonly renew: (slot: SlotDocument) => Promise<void>;
  /** Told of what is about to go: what is not told for want of time or of MongoDB stays. */
  readonly onDue: (entries: readonly Gone[], logs: Logs, deadline: Deadline) => Promise<void>;
  /** Told of what is gone. */
  readonly onGone: (entries: readonly Gone[]) => void;
  /** Called after each step, with its time (ms): waits as long as others need. False ends the sweep. */
  readonly between: (tookMs: number) => Promise<boolean>;
}

/** Of what is removed, what has to be known of it. */
const PROJECTION = {
  event_id: 1,
  name: 1,
  severity: 1,
  producer_id: 1,
  sequence: 1,
  stored_at: 1,
  segment: 1,
} as const;

/**
 * Removes what is due, oldest hour first.
 * @returns how late the oldest slot is that is left (ms); 0 for none.
 * @throws what the driver throws, and Failure `deadline`: what is left is for the next time.
 */
export async function sweep(logs: Logs, options: SweepOptions): Promise<number> {
  const { now, between, rules, renew } = options;
  const { slots, state } = retentionOf(logs);
  const deadline = (): Deadline => Deadline.after(STEP_MS);
  const known = await deadline().bound(state.findOne({ _id: "state" }), "MongoDB");
  const finished = known?.hour ?? hourOf(now());
  for (let hour = finished - HOURS_AGAIN; hour <= hourOf(now() - SETTLE_MS); hour += 1) {
    for (;;) {
      const settled = new Date(now() - SETTLE_MS);
      const found = slots.find({ hour, expire_at: { $lte: settled } });
      const due = await deadline().bound(found.limit(SLOTS_AT_ONCE).toArray(), "MongoDB");
      if (due.length === 0) break;
      for (const slot of due) {
        const startedAt = performance.now();
        if (slot.rules !== rules) await renew(slot);
        else if (await removeOf(logs, slot, options))
          await deadline().bound(slots.deleteOne({ _id: slot._id }), "MongoDB");
        if (!(await between(performance.now() - startedAt)))
          return Math.max(1, settled.getTime() - slot.expire_at.getTime());
      }
    }
  }
  const current = hourOf(now() - SETTLE_MS);
  if (current > finished || known?.hour === undefined) {
    const update = { $set: { hour: Math.max(current, finished) } };
    await deadline().bound(state.updateOne({ _id: "state" }, update, { upsert: true }), "MongoDB");
  }
  return 0;
}

/** @returns whether nothing is left in it. */
async function removeOf(logs: Logs, slot: SlotDocument, { removed, onDue, onGone }: SweepOptions): Promise<boolean> {
  const deadline = Deadline.after(STEP_MS);
  const options = { projection: PROJECTION, maxTimeMS: STEP_MS, signal: deadline.signal };
  const found = logs.find<Gone & { _id: ObjectId }>({ expire_slot: slot._id }, options).limit(ENTRIES_AT_ONCE);
  const entries = (await deadline.bound(found.toArray(), "MongoDB")).filter(({ name }) => name !== AUDIT);
  if (entries.length === 0) return true;
  await removed.note(logs, entries, deadline);
  await onDue(entries, logs, Deadline.after(STEP_MS));
  // Those that were read, and no other: their numbers are written down. The slot too, for FerretDB: see slots.ts.
  const which = { expire_slot: slot._id, _id: { $in: entries.map(({ _id }) => _id) } };
  const { deletedCount } = await Deadline.after(STEP_MS).bound(
    logs.deleteMany(which, { maxTimeMS: STEP_MS }),
    "MongoDB",
  );
  // Another replica may have come first, whose turn began meanwhile: what it removed is told by it.
  onGone(entries.slice(0, deletedCount));
  return entries.length < ENTRIES_AT_ONCE;
}
