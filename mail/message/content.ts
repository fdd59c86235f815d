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
