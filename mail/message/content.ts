/** What a mail is made from, as it is kept: the column `content` of mail_messages. */
import type { Attachment } from "#contracts/mail";

/**
 * All that the recipients of one mail get alike. Sender, subject, priority and list are columns of their own. Who is in
 * `bcc` is known from his row alone: here he would end up in a header some day.
 */
export interface Content {
  /** The plain text part. Without `html` the HTML part is made from it. */
  readonly text: string;
  /** Only where a template made it: HTML of callers is not sent. */
  readonly html?: string;
  /** Header `To`; one address at least. */
  readonly to: readonly string[];
  /** Header `Cc`. */
  readonly cc?: readonly string[];
  readonly reply_to?: string;
  /** What the sender says for himself, by name. Only `SENDER_HEADER`, and not what a mail has by itself. */
  readonly headers?: Readonly<Record<string, string>>;
  /** As in the contract: `content` is base64. */
  readonly attachments?: readonly Attachment[];
  /** The template that made subject, text and HTML. */
  readonly template?: { readonly name: string; readonly version: number; readonly locale: string };
}

/**
 * Headers that mail providers take as orders and cut out: further recipients (`X-SMTPAPI`, `X-MSYS-API`,
 * `X-MC-BccAddress`), tracking, another text. SendGrid, SparkPost, Mandrill, Mailgun, Mailjet, Postmark, SES, Brevo.
 */
const ORDERS = "x-(?:smtpapi$|msys-|mc-|mailgun-|mj-|mailjet-|pm-|ses-|mailin-|sib-)";

/**
 * Names of headers that a sender may set (`headers`), in any case: what tells of a mail, and nothing that makes it go
 * elsewhere or be read as something else.
 */
export const SENDER_HEADER = new RegExp(
  `^(?!${ORDERS})(?:x-[a-z0-9][a-z0-9-]{0,60}|in-reply-to|references|organization)$`,
  "i",
);

/** An attachment without what is in it. */
export interface AttachmentView {
  filename: string;
  content_type: string;
  /** Once decoded. */
  bytes: number;
}

/** Bytes that padded base64 (RFC 4648 §4) stands for, without decoding it. */
function bytesOf(base64: string): number {
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  return (base64.length / 4) * 3 - padding;
}

/** @returns one a attachment, in order; none where there are no attachments. */
export function attachmentViews({ attachments = [] }: Pick<Content, "attachments">): AttachmentView[] {
  return attachments.map(({ filename, content_type, content }) => ({
    filename,
    content_type,
    bytes: bytesOf(content),
  }));
}

/** Bytes of all attachments together, decoded. */
export function attachmentBytes({ attachments = [] }: Pick<Content, "attachments">): number {
  return attachments.reduce((sum, { content }) => sum + bytesOf(content), 0);
}
