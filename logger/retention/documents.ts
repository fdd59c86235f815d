/** What retention remembers, beside the entries. */
import type { Binary } from "mongodb";
import type { Logs } from "../mongo.ts";

/** Up to some hundred entries that are removed together: collection `log_slots`. It is written before its entries. */
export interface SlotDocument {
  /** The `expire_slot` of its entries. */
  _id: string;
  expire_at: Date;
  /** The hour of `expire_at`, counted from 1970: what is due is asked for by equality. */
  hour: number;
  /** About how many entries it has. */
  entries: number;
  /** By which rules its time was found: the fingerprint of the policy. */
  rules: string;
}

/** Numbers of a producer whose entries were removed: collection `log_removed`. All documents of a block together tell. */
export interface RemovedDocument {
  _id: string;
  producer_id: string;
  block: number;
  /** A bit a number of the block, from `offset` (bytes) on. */
  offset: number;
  numbers: Binary;
}

/** Collection `log_retention`: how far it has come (`state`), and who does it in a minute (`lease/<minute>`). */
export interface RetentionDocument {
  _id: string;
  /** Of the rules that all entries have their time by. */
  rules?: string;
  /** Hours before this one have nothing left that is due. */
  hour?: number;
  window?: number;
  owner?: string;
}

export function retentionOf({ db }: Logs) {
  return {
    slots: db.collection<SlotDocument>("log_slots"),
    removed: db.collection<RemovedDocument>("log_removed"),
    state: db.collection<RetentionDocument>("log_retention"),
  };
}

const HOUR_MS = 3_600_000;
export const hourOf = (ms: number): number => Math.floor(ms / HOUR_MS);
