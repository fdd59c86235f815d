/** Queues, and messages that nobody could use. Owner: listener (`/events/…`; at the broker `/v1/events/…`). */
import { type Static, Type } from "@sinclair/typebox";

/** Where messages are parked: dead letters of events, of jobs, and what no queue wanted. */
export const PARKED = ["logs", "jobs", "unrouted"] as const;
export const Parked = Type.Union(PARKED.map((name) => Type.Literal(name)));
export type Parked = Static<typeof Parked>;

export const QueueView = Type.Object({
  name: Type.String(),
  role: Type.Union([
    Type.Literal("work"),
    Type.Literal("retry"),
    Type.Literal("dead-letters"),
    Type.Literal("unrouted"),
  ]),
  /** Ready, not in anybody's hand. */
  messages: Type.Integer(),
  consumers: Type.Integer(),
  /** In our workers' hands, and of these held until a neighbour is back. */
  in_hand: Type.Integer(),
  held: Type.Integer(),
});
export type QueueView = Static<typeof QueueView>;

/** `data` of `GET /events/queues`. */
export const QueueList = Type.Object({ items: Type.Array(QueueView) });
export type QueueList = Static<typeof QueueList>;

/** A message that is parked. Times are RFC 3339 in UTC. */
export const DeadLetter = Type.Object({
  id: Type.String({ description: "message_id; empty where it has none" }),
  parked: Parked,
  /** The one that it came under first. */
  routing_key: Type.String(),
  /** Why it is here. */
  error: Type.String(),
  /** Since when; where it is not known, when it was accepted. */
  at: Type.Optional(Type.String()),
  attempts: Type.Integer(),
  bytes: Type.Integer(),
  content_type: Type.Optional(Type.String()),
  /** The beginning of the body as text, at most 2,000 characters. */
  preview: Type.String(),
  /** In a list: as text, what is none as JSON; the first 100, each at most 1,000 characters. */
  headers: Type.Optional(Type.Record(Type.String(), Type.String())),
  replayed_by: Type.Optional(Type.String()),
});
export type DeadLetter = Static<typeof DeadLetter>;

const Id = Type.String({ minLength: 1, maxLength: 128 });

/** Which of them; all that is given has to hold. */
const filter = {
  /** Default: logs and jobs. */
  parked: Type.Optional(Parked),
  id: Type.Optional(Id),
  /** Words and wildcards as in a binding: `log.*`, `#`. */
  routing_key: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
  /** Contained in the error, without regard to case. */
  error: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
  /** Seconds. */
  older_than_s: Type.Optional(Type.Number({ minimum: 0 })),
  younger_than_s: Type.Optional(Type.Number({ minimum: 0 })),
};
export const DeadLetterFilter = Type.Object(filter);
export type DeadLetterFilter = Static<typeof DeadLetterFilter>;

/** The same where something is done to them: also those that somebody has picked, whose ids are among these. */
const choice = { ...filter, ids: Type.Optional(Type.Array(Id, { minItems: 1, maxItems: 500 })) };
export const DeadLetterChoice = Type.Object(choice);
export type DeadLetterChoice = Static<typeof DeadLetterChoice>;

/** `data` of `GET /events/dead-letters?…&limit=&cursor=`: queue by queue, oldest first in each. */
export const DeadLetterPage = Type.Object({
  items: Type.Array(DeadLetter),
  next_cursor: Type.Optional(Type.String()),
  /** Messages that were looked at, and whether these were all there are. */
  scanned: Type.Integer(),
  complete: Type.Boolean(),
});
export type DeadLetterPage = Static<typeof DeadLetterPage>;

/** Body of `POST /events/dead-letters/replay`. */
export const ReplayRequest = Type.Object({
  ...choice,
  /** Messages a second (default 100). */
  rate: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 10_000 })),
  /** Most of them (default 10,000). */
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
  /** Only tell what would be done. */
  dry_run: Type.Optional(Type.Boolean()),
});
export type ReplayRequest = Static<typeof ReplayRequest>;

/** Body of `POST /events/dead-letters/drop`: at least one condition, or `all`. */
export const DropRequest = Type.Object({
  ...choice,
  all: Type.Optional(Type.Literal(true)),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
  dry_run: Type.Optional(Type.Boolean()),
});
export type DropRequest = Static<typeof DropRequest>;

/** What came of a replay or a drop. */
export const DeadLetterOutcome = Type.Object({
  matched: Type.Integer(),
  /** Replayed or dropped; 0 for a dry run. */
  done: Type.Integer(),
  /** Matched and still there: the time was up or RabbitMQ went away. Ask again to go on. */
  left: Type.Integer(),
  scanned: Type.Integer(),
  complete: Type.Boolean(),
  /** Entry `audit` in the log, where something was done. */
  audit_id: Type.Optional(Type.String()),
});
export type DeadLetterOutcome = Static<typeof DeadLetterOutcome>;
