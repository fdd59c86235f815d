/**
 * Entries that are to be removed at the same time lie in slots of some hundred: a slot is asked for, and removed, by
 * equality, which is all that FerretDB hands on to its PostgreSQL. Costs one small write for each full slot.
 */
import { Deadline } from "#shared/resilience";
import type { Log } from "#shared/log";
import type { Logs, MongoConnection } from "../mongo.ts";
import { insertNew } from "../registry.ts";
import { hourOf, retentionOf } from "./documents.ts";
import { expiryOf, type Policy } from "./policy.ts";

/** What an entry is given. */
export interface Expiry {
  readonly expire_at: Date;
  readonly expire_slot: string;
}

export interface Slots extends AsyncDisposable {
  /**
   * The time and the slot of each of these entries, in order; undefined where it is kept for ever. The slots are stored
   * when this is.
   * @throws what the driver throws, and Failure `deadline`.
   */
  place(
    logs: Logs,
    entries: readonly { readonly name: string; readonly severity: string }[],
    storedAt: Date,
    deadline: Deadline,
  ): Promise<(Expiry | undefined)[]>;
}

interface Open {
  readonly id: string;
  entries: number;
  /** As the store knows it. */
  told: number;
  /** The slot is in the store. */
  stored: Promise<void>;
}

/** 500 are decoded by FerretDB in some 35 ms. */
export const SLOT_ENTRIES = 500;
/** Slots that are being filled; beyond that the oldest ones stay as they are. */
const OPEN_MAX = 200;
/** How often it is told how full slots are that were left, and how many of them are remembered. */
const TELL_EVERY_MS = 5_000;
const LEFT_MAX = 1_000;
const TELL_AT_ONCE = 20;
const TELL_MS = 1_000;

export function makeSlots(connection: MongoConnection, policy: Policy, log: Log): Slots {
  /** By the time at which their entries go. */
  const open = new Map<number, Open>();
  /** Not filled any more, with more entries than the store knows of. */
  const left = new Map<string, number>();
  let epoch = -1;
  let telling: Promise<void> | undefined;

  const leave = (slot: Open): void => {
    if (slot.entries > slot.told && left.size < LEFT_MAX) left.set(slot.id, slot.entries);
  };

  const tell = async (): Promise<void> => {
    const { logs } = connection;
    if (logs === undefined) return;
    for (const [id, entries] of [...left].slice(0, TELL_AT_ONCE)) {
      left.delete(id);
      try {
        const update = retentionOf(logs).slots.updateOne({ _id: id }, { $set: { entries } });
        await Deadline.after(TELL_MS).bound(update, "MongoDB");
      } catch (error) {
        // A figure for people: what is removed is told by the entries themselves.
        log.debug("how full a slot is could not be written", { error });
        return;
      }
    }
  };
  const timer = setInterval(() => {
    if (left.size === 0 || telling !== undefined) return;
    telling = tell().then(() => {
      telling = undefined;
    });
  }, TELL_EVERY_MS);
  timer.unref();

  /** The slot that the next entry which goes at `expireAt` is put into. */
  const slotFor = (expireAt: number, fresh: Map<Open, number>): Open => {
    const current = open.get(expireAt);
    if (current !== undefined && current.entries < SLOT_ENTRIES) return current;
    if (current !== undefined) leave(current);
    const slot: Open = { id: Bun.randomUUIDv7(), entries: 0, told: 0, stored: Promise.resolve() };
    open.delete(expireAt);
    open.set(expireAt, slot);
    fresh.set(slot, expireAt);
    for (const [key, oldest] of open) {
      if (open.size <= OPEN_MAX) break;
      open.delete(key);
      leave(oldest);
    }
    return slot;
  };

  return {
    async place(logs, entries, storedAt, deadline) {
      if (policy.keepsAll) return entries.map(() => undefined);
      // The database was emptied, or is another one.
      if (connection.epoch !== epoch) {
        open.clear();
        ({ epoch } = connection);
      }
      const fresh = new Map<Open, number>();
      const used = new Set<Open>();
      const placed = entries.map(({ name, severity }) => {
        const keepMs = policy.keepMs(name, severity);
        if (keepMs === Number.POSITIVE_INFINITY) return undefined;
        const expireAt = expiryOf(storedAt.getTime(), keepMs);
        const slot = slotFor(expireAt, fresh);
        slot.entries += 1;
        used.add(slot);
        return { expire_at: new Date(expireAt), expire_slot: slot.id };
      });
      if (fresh.size > 0) {
        const documents = [...fresh].map(([slot, expireAt]) => {
          slot.told = slot.entries;
          const { id, entries: count } = slot;
          const expire_at = new Date(expireAt);
          return { _id: id, expire_at, hour: hourOf(expireAt), entries: count, rules: policy.fingerprint };
        });
        const stored = insertNew(retentionOf(logs).slots, documents);
        for (const slot of fresh.keys()) slot.stored = stored;
        stored.catch(() => {
          for (const [slot, expireAt] of fresh) if (open.get(expireAt) === slot) open.delete(expireAt);
        });
      }
      // Also those that another batch is just writing.
      await deadline.bound(Promise.all([...used].map(({ stored }) => stored)), "MongoDB");
      return placed;
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await telling;
      for (const slot of open.values()) leave(slot);
      await tell();
    },
  };
}
