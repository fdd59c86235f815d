/** Where something is that the platform accepted: `data` of `GET /v1/receipts/:id`. Owner: broker, by asking the owners. */
import { type Static, Type } from "@sinclair/typebox";

export const RECEIPT_KINDS = ["log", "event", "mail"] as const;
export type ReceiptKind = (typeof RECEIPT_KINDS)[number];

/**
 *     accepted       it was, and nobody has seen it yet: on its way, or in the spool of another broker
 *     spooled        on this broker's disk, until RabbitMQ or the logger is back
 *     queued         in RabbitMQ, or in the mail service's outbox
 *     stored         by the logger: its end
 *     sent           the mail server took it: its end, unless it comes back
 *     refused        the mail server refused it for good: its end
 *     bounced        the mail server took it, and it came back: its end
 *     cancelled      an operator took it back before it was sent: its end
 *     partial        a mail of several recipients: sent to some of them, and never to the others: its end
 *     expired        the mail server put it off for too long: its end
 *     ambiguous      the mail server took the content and never answered; not sent again by itself
 *     dead-lettered  nobody can use it, `reason` says why; it can be replayed
 *     unrouted       no queue wanted it; it can be replayed
 */
export const RECEIPT_STATES = [
  "accepted",
  "spooled",
  "queued",
  "stored",
  "sent",
  "refused",
  "bounced",
  "cancelled",
  "partial",
  "expired",
  "ambiguous",
  "dead-lettered",
  "unrouted",
] as const;
export const ReceiptState = Type.Union(RECEIPT_STATES.map((state) => Type.Literal(state)));
export type ReceiptState = Static<typeof ReceiptState>;

/** One thing that is known about it. Times are RFC 3339 in UTC. */
export const ReceiptStep = Type.Object({
  state: ReceiptState,
  where: Type.String({ description: "broker, spool, rabbitmq, logger, mail" }),
  at: Type.Optional(Type.String()),
  /** Why, in words, where that is known. */
  reason: Type.Optional(Type.String()),
});
export type ReceiptStep = Static<typeof ReceiptStep>;

export const Receipt = Type.Object({
  id: Type.String(),
  kind: Type.Union(RECEIPT_KINDS.map((kind) => Type.Literal(kind))),
  /** Of the last step. */
  state: ReceiptState,
  where: Type.String(),
  at: Type.Optional(Type.String()),
  reason: Type.Optional(Type.String()),
  /** Nothing more will happen to it by itself. */
  final: Type.Boolean(),
  /** What is known, in order of time. */
  steps: Type.Array(ReceiptStep),
  /** Parts that did not answer: what they know may be further. */
  unasked: Type.Array(Type.String()),
});
export type Receipt = Static<typeof Receipt>;
