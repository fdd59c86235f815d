/** How much the log keeps, and how fast it grows: `data` of `GET /logs/sizes`. Owner: the logger. */
import { type Static, Type } from "@sinclair/typebox";

const counts = {
  entries: Type.Integer(),
  /** As the entries came in, without what the store needs besides. */
  bytes: Type.Integer(),
};

export const LogSizes = Type.Object({
  /** When this was found out (RFC 3339): it is kept for a minute. */
  as_of: Type.String(),
  /** Of the whole collection, as the server tells it; it may be an estimate of its. */
  total: Type.Object({
    entries: Type.Integer(),
    /** Documents, uncompressed. */
    bytes: Type.Integer(),
    /** What they take on the disk, and their indexes, where the server tells. */
    disk_bytes: Type.Optional(Type.Integer()),
    index_bytes: Type.Optional(Type.Integer()),
    indexes: Type.Optional(Type.Array(Type.Object({ name: Type.String(), bytes: Type.Integer() }))),
  }),
  /** What is counted below: entries since there are counters, less what was removed. Approximate. */
  counted: Type.Object(counts),
  severities: Type.Array(Type.Object({ severity: Type.String(), ...counts })),
  /** Names with the most bytes, at most 20; `others` is the rest. */
  names: Type.Array(Type.Object({ name: Type.String(), ...counts })),
  others: Type.Object(counts),
  /** By when the logger stored them (UTC), newest first; without those on which nothing is left. */
  days: Type.Array(Type.Object({ day: Type.String(), ...counts })),
  /** Days (UTC) of the oldest and the newest entry that is counted. */
  oldest: Type.Optional(Type.String()),
  newest: Type.Optional(Type.String()),
  /** What came on average on each of the last seven whole days, as far as there are any. */
  growth_per_day: Type.Optional(Type.Object(counts)),
  retention: Type.Object({
    /** As they are configured. */
    rules: Type.Array(Type.String()),
    /** Entries whose time is over, and those that follow within 24 hours; about, and 0 where nothing is ever removed. */
    due: Type.Integer(),
    next_24h: Type.Integer(),
  }),
});
export type LogSizes = Static<typeof LogSizes>;
