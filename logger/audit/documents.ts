/**
 * What is kept of the audit trail beside its entries. A chain belongs to one logger from its first audit entry to its end,
 * so that nobody waits for anybody: replicas have chains of their own.
 */
import type { Logs } from "../mongo.ts";
import type { Mac, Sealer } from "./seal.ts";

/** How far a chain has come. Written before anybody is told that an entry is stored, and only ever over the one before. */
export interface Head {
  /** Entries up to this one are there, but for those that notes name. */
  sequence: number;
  mac: Mac;
  /** Notes up to this one are there. */
  notes: number;
  at: Date;
  seal: Mac;
}

/** A chain: collection `log_audit_chains`. */
export interface ChainDocument {
  /** Its number: 1, 2, … without gaps. */
  _id: number;
  /** Which secret it is sealed with. */
  key: string;
  opened_at: Date;
  nonce: string;
  /** The registration of the chain before it. */
  previous: Mac;
  registration: Mac;
  head: Head;
}

/** An entry that stands in another's place: the same `event_id` was stored before. */
export interface Adopted {
  event_id: string;
  seal: Mac;
}

/** Sequence numbers of a chain that nothing is stored under, and why not: collection `log_audit_notes`. */
export interface NoteDocument {
  /** `<chain>/<number>` */
  _id: string;
  chain: number;
  number: number;
  missing: number[];
  adopted: Adopted[];
  seal: Mac;
}

/** Collection `log_audit_heads`, a document each: how many chains there are, and what entries were there before the first. */
export interface HeadsDocument {
  _id: "chains" | "older";
  key: string;
  count: number;
  /** Of older entries: the sum of their MACs modulo 2¹²⁸, so that their order is of no matter. */
  sum?: string;
  seal: Mac;
}

export function auditOf({ db }: Logs) {
  return {
    chains: db.collection<ChainDocument>("log_audit_chains"),
    notes: db.collection<NoteDocument>("log_audit_notes"),
    heads: db.collection<HeadsDocument>("log_audit_heads"),
  };
}

export function registrationOf(seal: Sealer, chain: Omit<ChainDocument, "registration" | "head">): Mac {
  return seal("chain", chain._id, chain.opened_at.getTime(), chain.nonce, chain.previous);
}

export function headSealOf(seal: Sealer, { sequence, mac, notes, at }: Omit<Head, "seal">): Mac {
  return seal("head", sequence, mac, notes, at.getTime());
}

export function noteSealOf(
  seal: Sealer,
  { number, missing, adopted }: Omit<NoteDocument, "_id" | "chain" | "seal">,
): Mac {
  return seal("note", number, missing.join(), adopted.map((one) => `${one.seal} ${one.event_id}`).join("\n"));
}

export function headsSealOf(seal: Sealer, { _id, count, sum = "" }: Omit<HeadsDocument, "key" | "seal">): Mac {
  return seal("heads", _id, count, sum);
}

/**
 * How long after the first chain began its predecessors may still be sealed: it takes a minute a million, and is tried again by each
 * chain. Later, who seals them would seal what somebody has changed since (ms).
 */
export const OLDER_MS = 24 * 3_600_000;

/** Whether an entry is of before the first chain: what such entries are is sealed as a whole. */
export function isOlder(document: object, firstOpenedAt: Date): boolean {
  const { audit_chain: chain, stored_at: at } = document as { audit_chain?: unknown; stored_at?: unknown };
  return chain === undefined && !(at instanceof Date && at >= firstOpenedAt);
}

/** The sum of MACs, in any order. */
export class MacSum {
  #sum = 0n;

  add(mac: Mac): void {
    this.#sum = BigInt.asUintN(128, this.#sum + BigInt(`0x${Buffer.from(mac, "base64url").toString("hex")}`));
  }

  get text(): string {
    return this.#sum.toString(16);
  }
}
