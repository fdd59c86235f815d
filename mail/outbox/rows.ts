/** What the outbox holds, as the rest of the service sees it: a mail, and a row for each of its recipients. */
import type { RECIPIENT_KINDS } from "#contracts/mail";
import type { Content } from "../message/content.ts";
import type { MailState } from "./states.ts";

/** 0 high, 1 normal, 2 low. */
export type Priority = 0 | 1 | 2;
export type RecipientKind = (typeof RECIPIENT_KINDS)[number];

export interface NewRecipient {
  /** UUID of the row; of the first one it is the mail's. */
  readonly id: string;
  readonly address: string;
  readonly kind: RecipientKind;
}

/** A mail as it is accepted. */
export interface NewMail {
  /** UUID. */
  readonly id: string;
  /** SHA-256 of what the caller sent: the same id with another one is another mail. */
  readonly contentHash: Uint8Array;
  readonly sender: string;
  readonly subject: string;
  /** Its keys in the order of jsonb (`ordered` in request.ts), so that the bytes made of it do not depend on who stored it. */
  readonly content: Content;
  readonly messageId: string;
  readonly requestId: string;
  readonly traceparent: string;
  readonly list: string | undefined;
  readonly priority: Priority;
  /** Not before; undefined: at once. */
  readonly sendAt: Date | undefined;
  /** At least one. */
  readonly recipients: readonly NewRecipient[];
}

/** A mail to one recipient on its way out, in the hands of whoever holds `claim`. */
export interface ClaimedMail
  extends Pick<
    NewMail,
    "sender" | "subject" | "content" | "messageId" | "requestId" | "traceparent" | "list" | "priority"
  > {
  /** Of the recipient's row. */
  readonly id: string;
  readonly mailId: string;
  readonly recipient: string;
  readonly claim: string;
  readonly attempt: number;
  readonly interruptions: number;
  /** That it bears: when it was accepted or, later, was to be sent. */
  readonly date: Date;
  /** Until it is given up (ms), counted from when it was claimed. */
  readonly expiresInMs: number;
}

/** Where a mail stands with one recipient. */
export interface Standing {
  /** Of the recipient's row. */
  readonly id: string;
  readonly recipient: string;
  readonly state: MailState;
  readonly smtpText: string | undefined;
  readonly smtpCommand: string | undefined;
}

export interface MessageRow {
  sender: string;
  subject: string;
  content: Content;
  message_id: string;
  request_id: string;
  traceparent: string;
  list: string | null;
  priority: Priority;
  send_at: Date | null;
  created_at: Date;
}

export interface RecipientRow {
  id: string;
  mail_id: string;
  recipient: string;
  state: MailState;
  claim: string | null;
  attempt: number;
  interruptions: number;
  expires_in_ms: number;
  smtp_text: string | null;
  smtp_command: string | null;
}

/** `smtp_command` of a row that never reached a mail server, since its recipient is suppressed. */
export const SUPPRESSED = "suppressed";
/** The same of a recipient whom somebody decided about: he is not sent the mail. */
export const DECIDED = "decided";

/** @param claim under which the row is held. */
export function claimedOf(
  row: Omit<RecipientRow, "state" | "claim" | "smtp_text" | "smtp_command">,
  message: MessageRow,
  claim: string,
): ClaimedMail {
  return {
    id: row.id,
    mailId: row.mail_id,
    claim,
    sender: message.sender,
    recipient: row.recipient,
    subject: message.subject,
    content: message.content,
    messageId: message.message_id,
    requestId: message.request_id,
    traceparent: message.traceparent,
    list: message.list ?? undefined,
    priority: message.priority,
    attempt: row.attempt,
    interruptions: row.interruptions,
    date: message.send_at ?? message.created_at,
    expiresInMs: row.expires_in_ms,
  };
}

export function standingOf(
  row: Pick<RecipientRow, "id" | "recipient" | "state" | "smtp_text" | "smtp_command">,
): Standing {
  return {
    id: row.id,
    recipient: row.recipient,
    state: row.state,
    smtpText: row.smtp_text ?? undefined,
    smtpCommand: row.smtp_command ?? undefined,
  };
}
