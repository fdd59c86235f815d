/** What is told of a mail. Decides how what is stored is put; knows no HTTP and no SQL. Never the text of a mail. */
import { type Attachment, type MailRecipient, type MailState, type MailView, PRIORITIES } from "#contracts/mail";
import { sumOf } from "../outbox/states.ts";

/** A template as a mail was made from it. */
export type TemplateUsed = NonNullable<MailView["template"]>;

/** What a mail server said; null for what it did not say. */
interface StoredReply {
  readonly code: number | null;
  readonly text: string | null;
  readonly command: string | null;
}

export interface StoredAttempt extends StoredReply {
  /** Times here are text that `Date` reads. */
  readonly at: string;
  readonly outcome: string;
  readonly took_ms: number | null;
}

export interface StoredRecipient extends StoredReply {
  readonly recipient: string;
  readonly kind: MailRecipient["kind"];
  readonly state: MailState;
  readonly attempt: number;
  readonly next_at: string;
  readonly expires_at: string;
  readonly updated_at: string;
  /** Oldest first; only where it was asked for. */
  readonly history?: readonly StoredAttempt[];
}

export interface StoredMail {
  readonly id: string;
  readonly sender: string;
  readonly subject: string;
  readonly list: string | null;
  /** Index into `PRIORITIES`. */
  readonly priority: number;
  readonly created_at: Date;
  /** In their order; at least one. */
  readonly recipients: readonly StoredRecipient[];
  /** Not read for lists. */
  readonly template?: TemplateUsed | null;
  readonly attachments?: readonly (Pick<Attachment, "filename" | "content_type"> & { readonly bytes: number })[] | null;
  readonly trace_id?: string;
}

const timeText = (at: string): string => new Date(at).toISOString();

function replyOf({ code, text, command }: StoredReply): Pick<MailRecipient, "reply"> {
  if (text === null) return {};
  return { reply: { ...(code === null ? {} : { code }), text, ...(command === null ? {} : { command }) } };
}

function recipientOf(stored: StoredRecipient): MailRecipient {
  const { recipient, kind, state, attempt, next_at, expires_at, updated_at, history } = stored;
  const waits = state === "queued" || state === "deferred";
  return {
    address: recipient,
    kind,
    state,
    attempts: attempt,
    updated_at: timeText(updated_at),
    ...(waits ? { next_attempt_at: timeText(next_at) } : {}),
    expires_at: timeText(expires_at),
    ...replyOf(stored),
    ...(history === undefined
      ? {}
      : {
          history: history.map((one) => ({
            at: timeText(one.at),
            outcome: one.outcome,
            ...replyOf(one),
            ...(one.took_ms === null ? {} : { took_ms: one.took_ms }),
          })),
        }),
  };
}

export function viewOf(mail: StoredMail): MailView {
  const { id, sender, subject, list, priority, created_at, template, attachments, trace_id } = mail;
  const recipients = mail.recipients.map(recipientOf);
  const state = sumOf(recipients.map((recipient) => recipient.state));
  const shown = recipients.find((recipient) => recipient.state === state) ?? recipients[0];
  if (shown === undefined) throw new Error(`mail ${id} has no recipient`);
  return {
    id,
    state,
    from: sender,
    to: shown.address,
    subject,
    attempts: shown.attempts,
    created_at: created_at.toISOString(),
    updated_at: shown.updated_at,
    ...(shown.next_attempt_at === undefined ? {} : { next_attempt_at: shown.next_attempt_at }),
    expires_at: shown.expires_at,
    ...(shown.reply === undefined ? {} : { reply: shown.reply }),
    recipients,
    priority: PRIORITIES[priority] ?? "normal",
    ...(list === null ? {} : { list }),
    ...(template ? { template } : {}),
    ...(attachments && attachments.length > 0 ? { attachments: [...attachments] } : {}),
    ...(trace_id === undefined ? {} : { trace_id }),
  };
}
