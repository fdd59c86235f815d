/** Mail as clients ask for it. Owner: mail. */
import { type Static, Type } from "@sinclair/typebox";

/**
 * One plain address, `local@domain`: no display name, comment, group, list, quoted local part, address literal,
 * white space or control character. Narrower than RFC 5321 on purpose: mailers parse addresses again, and what
 * they make of the rest is not what was validated.
 */
export const ADDRESS_PATTERN =
  "^(?=.{3,254}$)(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@" +
  // The last label begins with a letter: `a@02` is read as an IP address further on.
  "([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)*[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$";

export const Address = Type.String({ pattern: ADDRESS_PATTERN, description: "one plain e-mail address" });

export const MailRequest = Type.Object({
  from: Address,
  to: Address,
  subject: Type.String({
    maxLength: 998,
    pattern: "^[^\\u0000-\\u001f\\u007f]*$",
    description: "text of at most 998 characters on one line",
  }),
  message: Type.String({ pattern: "^[^\\u0000]*$", description: "text without NUL" }),
});
export type MailRequest = Static<typeof MailRequest>;

/** What became of a mail by the time of the answer. */
export const MailReply = Type.Object({
  id: Type.String({ description: "UUID of the mail" }),
  state: Type.Union([Type.Literal("sent"), Type.Literal("queued"), Type.Literal("ambiguous")], {
    description: "ambiguous: the mail server took its content and never answered; it is not sent again by itself",
  }),
});
export type MailReply = Static<typeof MailReply>;

export const MAIL_STATES = ["queued", "sending", "sent", "deferred", "failed", "expired", "ambiguous"] as const;

/** Where a mail stands: `data` of `GET /mails/:id`. Times are RFC 3339 in UTC. */
export const MailView = Type.Object({
  id: Type.String(),
  state: Type.Union(MAIL_STATES.map((state) => Type.Literal(state))),
  from: Type.String(),
  to: Type.String(),
  subject: Type.String(),
  /** Attempts that the mail server answered. */
  attempts: Type.Integer(),
  created_at: Type.String(),
  updated_at: Type.String(),
  /** Of the next attempt, where there will be one. */
  next_attempt_at: Type.Optional(Type.String()),
  expires_at: Type.String(),
  /** What the mail server said last. */
  reply: Type.Optional(
    Type.Object({
      code: Type.Optional(Type.Integer()),
      text: Type.String(),
      command: Type.Optional(Type.String()),
    }),
  ),
});
export type MailView = Static<typeof MailView>;
