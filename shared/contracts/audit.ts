/** What a verification of the audit trail tells. Owner: the logger. */
import { type Static, Type } from "@sinclair/typebox";

/** Where a chain breaks. */
export const AuditBreak = Type.Object({
  /** Number of the chain; absent where it is not about one. */
  chain: Type.Optional(Type.Integer()),
  /** Numbers of the chain's entries, from and to (both included). */
  from: Type.Optional(Type.Integer()),
  to: Type.Optional(Type.Integer()),
  event_id: Type.Optional(Type.String()),
  what: Type.String(),
});
export type AuditBreak = Static<typeof AuditBreak>;

/** `data` of `GET /logs/audit`. */
export const AuditReport = Type.Object({
  /** `running`: it goes on, and what is told is what was found so far. Ask again. */
  state: Type.Union([Type.Literal("running"), Type.Literal("done")]),
  /** Nothing is changed, removed, added or in another order. Of a verification that is done. */
  intact: Type.Optional(Type.Boolean()),
  chains: Type.Integer(),
  /** Audit entries that were looked at. */
  entries: Type.Integer(),
  /** Of these: behind the head of their chain, so that nobody was told that they are stored (yet). */
  unsealed: Type.Integer(),
  /** Of these: from before the first chain, sealed as a whole. */
  older: Type.Integer(),
  /** Places in which a chain breaks, of which at most 100 are listed. */
  breaks: Type.Integer(),
  items: Type.Array(AuditBreak),
  /** The last chains, newest first, at most 20: kept elsewhere, they tell later whether all of the database was put back. */
  heads: Type.Array(Type.Object({ chain: Type.Integer(), sequence: Type.Integer(), mac: Type.String() })),
  started_at: Type.String(),
  finished_at: Type.Optional(Type.String()),
});
export type AuditReport = Static<typeof AuditReport>;
