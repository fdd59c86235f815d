/** What the bytes of a mail are made from, as it is stored: `mail_messages.content`. */
import type { Attachment } from "#contracts/mail";

export interface Content {
  readonly text: string;
  /** Only of a template; else the HTML part is made from `text`. */
  readonly html?: string;
  readonly to: string[];
  readonly cc?: string[];
  readonly reply_to?: string;
  readonly headers?: Record<string, string>;
  readonly attachments?: Attachment[];
  readonly template?: { name: string; version: number; locale: string };
}
