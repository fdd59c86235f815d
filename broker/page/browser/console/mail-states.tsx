/** The states of mails in words, with a tone, and what may be done in which. */
import type { Schema } from "./api.ts";
import { Badge, type Tone } from "./ui.tsx";

export type MailView = Schema<"MailView">;
export type Recipient = MailView["recipients"][number];
export type MailState = Recipient["state"];

/** In the order in which a mail may come to them. */
export const STATES: readonly MailState[] = [
  "queued",
  "sending",
  "deferred",
  "sent",
  "ambiguous",
  "failed",
  "expired",
  "bounced",
  "cancelled",
];

const TONES: Readonly<Record<MailView["state"], Tone>> = {
  queued: "info",
  sending: "info",
  deferred: "warn",
  sent: "good",
  partial: "warn",
  ambiguous: "warn",
  failed: "bad",
  expired: "bad",
  bounced: "bad",
  cancelled: "info",
};

export const MEANING: Readonly<Record<MailView["state"], string>> = {
  queued: "It waits for its turn, or for the mail server.",
  sending: "The mail server is being given it at this moment.",
  deferred: "The mail server has put it off; it is tried again.",
  sent: "The mail server has taken it.",
  partial: "Some recipients were sent it, others will not be.",
  ambiguous: "The mail server got it and never said whether it took it. It is not sent again by itself.",
  failed: "It was refused for good, or its recipient gets no mail.",
  expired: "It could not be sent in time, and was given up.",
  bounced: "It was taken, and came back.",
  cancelled: "Somebody took it back before it was sent.",
};

export function StateBadge({ state }: { state: MailView["state"] }) {
  return <Badge tone={TONES[state]}>{state}</Badge>;
}

/** What the mail server said, in one line. */
export function replyText(reply: Recipient["reply"]): string {
  if (reply === undefined) return "";
  return reply.command === undefined ? reply.text : `${reply.text} (to ${reply.command})`;
}
