/** Mail as clients ask for it, and what is told of it. Owner: mail. */
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

const Subject = Type.String({
  maxLength: 998,
  pattern: "^[^\\u0000-\\u001f\\u007f]*$",
  description: "text of at most 998 characters on one line",
});
const Text = Type.String({ pattern: "^[^\\u0000]*$", description: "text without NUL" });

/** The mail of `POST /handle`, and the least that `POST /send` takes. */
export const MailRequest = Type.Object({ from: Address, to: Address, subject: Subject, message: Text });
export type MailRequest = Static<typeof MailRequest>;

/** Of `to`, `cc` and `bcc` together. */
export const RECIPIENTS_MAX = 50;
export const ATTACHMENTS_MAX = 10;
export const PRIORITIES = ["high", "normal", "low"] as const;

export const Attachment = Type.Object({
  filename: Type.String({
    minLength: 1,
    maxLength: 200,
    pattern: '^[^\\u0000-\\u001f\\u007f/\\\\:*?"<>|]+$',
    description: "a file name of 1 to 200 characters without a path",
  }),
  content_type: Type.String({
    maxLength: 127,
    pattern: "^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$",
    description: "a media type such as application/pdf",
  }),
  /**
   * Base64 (RFC 4648 §4), padded. Most of it in long runs: a group of four that is repeated 150,000 times and more is beyond
   * what the runtime compiles, and takes seconds, in which nobody else is served.
   */
  content: Type.String({
    pattern: "^(?:[A-Za-z0-9+/]{4096})*(?:[A-Za-z0-9+/]{4}){0,1023}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    description: "base64",
  }),
  /** For `cid:` in the HTML part of a template: shown within the mail. */
  content_id: Type.Optional(
    Type.String({ maxLength: 100, pattern: "^[A-Za-z0-9._-]+$", description: "letters, digits, dots, _ and -" }),
  ),
});
export type Attachment = Static<typeof Attachment>;

export const TEMPLATE_NAME_PATTERN = "^[a-z][a-z0-9_-]{0,63}$";
export const LOCALE_PATTERN = "^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$";

export const TemplateChoice = Type.Object({
  name: Type.String({ pattern: TEMPLATE_NAME_PATTERN, description: "the name of a template" }),
  /** Default: the newest. */
  version: Type.Optional(Type.Integer({ minimum: 1 })),
  /** BCP 47, e.g. `de` or `de-AT`. What is not there falls back: `de-AT`, `de`, then the default locale. */
  locale: Type.Optional(Type.String({ pattern: LOCALE_PATTERN, description: "a locale such as de or de-AT" })),
  /** As the template's JSON Schema says. */
  variables: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
});
export type TemplateChoice = Static<typeof TemplateChoice>;

const Several = (what: string) =>
  Type.Array(Address, { minItems: 1, maxItems: RECIPIENTS_MAX, description: `up to ${RECIPIENTS_MAX} ${what}` });

/**
 * A mail with all that it may have: `POST /send`, `POST /mails`. Either `subject` and `message`, or `template`;
 * what the schema cannot say is checked by `faultOf` and in mail/request.ts.
 */
export const MailMessage = Type.Object({
  from: Address,
  to: Type.Union([Address, Several("addresses")], { description: "one plain e-mail address, or a list of them" }),
  cc: Type.Optional(Several("addresses")),
  /** Get the mail and are named in no header. */
  bcc: Type.Optional(Several("addresses")),
  reply_to: Type.Optional(Address),
  subject: Type.Optional(Subject),
  message: Type.Optional(Text),
  template: Type.Optional(TemplateChoice),
  attachments: Type.Optional(Type.Array(Attachment, { maxItems: ATTACHMENTS_MAX })),
  /** `X-…`, `In-Reply-To`, `References`, `Organization`: what a sender may say for himself. */
  headers: Type.Optional(
    Type.Record(
      Type.String(),
      Type.String({ maxLength: 900, pattern: "^[\\u0020-\\u007e]*$", description: "printable ASCII on one line" }),
      { maxProperties: 20 },
    ),
  ),
  priority: Type.Optional(Type.Union(PRIORITIES.map((priority) => Type.Literal(priority)))),
  /** Not before this time (RFC 3339), at most 30 days ahead. */
  send_at: Type.Optional(Type.String({ maxLength: 40, description: "a time as RFC 3339 has it" })),
  /** Bulk: the name of the mailing list, from which a recipient can take himself off with one click (RFC 8058). */
  list: Type.Optional(
    Type.String({ pattern: "^[a-z0-9][a-z0-9._-]{0,63}$", description: "the name of a mailing list" }),
  ),
});
export type MailMessage = Static<typeof MailMessage>;

/** What the schema cannot say, and needs nobody who knows more. @returns what is wrong, in words; undefined where nothing is. */
export function faultOf({ to, cc = [], bcc = [], subject, message, template }: MailMessage): string | undefined {
  if ([to, cc, bcc].flat().length > RECIPIENTS_MAX) {
    return `to, cc and bcc must be at most ${RECIPIENTS_MAX} addresses together`;
  }
  if (template === undefined) {
    if (subject === undefined) return "subject is needed, or a template";
    return message === undefined ? "message is needed, or a template" : undefined;
  }
  if (subject !== undefined) return "subject must not be given with a template, which has its own";
  return message === undefined ? undefined : "message must not be given with a template, which has its own";
}

/** Of one recipient; the order of them is in mail/outbox/states.ts. */
export const MAIL_STATES = [
  "queued",
  "sending",
  "sent",
  "deferred",
  "failed",
  "expired",
  "ambiguous",
  "cancelled",
  "bounced",
] as const;
export const MailState = Type.Union(MAIL_STATES.map((state) => Type.Literal(state)));
export type MailState = Static<typeof MailState>;

/**
 * Of a mail with all its recipients: theirs where they agree; else that of those who are least done with (sending, queued,
 * deferred, ambiguous), and `partial` where some were sent it and others will not be. Where they differ and none was sent
 * it: failed, expired, bounced, cancelled, whichever of these comes first.
 */
export const MailSum = Type.Union([...MAIL_STATES.map((state) => Type.Literal(state)), Type.Literal("partial")]);
export type MailSum = Static<typeof MailSum>;

/** How a mail stands by the time of the answer: `data` of `POST /send` and `POST /mails`. */
export const MailReply = Type.Object({
  id: Type.String({ description: "UUID of the mail" }),
  state: Type.Union(
    [Type.Literal("sent"), Type.Literal("queued"), Type.Literal("ambiguous"), Type.Literal("partial")],
    {
      description:
        "sent: the mail server took it. ambiguous: the mail server took its content and never answered; it is not sent again by itself. partial: refused for some of several recipients",
    },
  ),
  /** Where there are several. */
  recipients: Type.Optional(
    Type.Array(Type.Object({ address: Type.String(), state: MailState, reason: Type.Optional(Type.String()) })),
  ),
});
export type MailReply = Static<typeof MailReply>;

/** What the mail server said. */
export const MailServerReply = Type.Object({
  code: Type.Optional(Type.Integer()),
  text: Type.String(),
  command: Type.Optional(Type.String()),
});

/** One thing that happened to a mail on its way to one recipient. */
export const MailAttempt = Type.Object({
  at: Type.String(),
  /** As in mail/outbox/states.ts, or `resolved`, `cancelled`, `bounced`, `delayed`, `suppressed`. */
  outcome: Type.String(),
  reply: Type.Optional(MailServerReply),
  took_ms: Type.Optional(Type.Integer()),
});
export type MailAttempt = Static<typeof MailAttempt>;

export const RECIPIENT_KINDS = ["to", "cc", "bcc"] as const;
export const MailRecipient = Type.Object({
  address: Type.String(),
  kind: Type.Union(RECIPIENT_KINDS.map((kind) => Type.Literal(kind))),
  state: MailState,
  /** Attempts that the mail server answered. */
  attempts: Type.Integer(),
  updated_at: Type.String(),
  /** Of the next attempt, where there will be one. */
  next_attempt_at: Type.Optional(Type.String()),
  expires_at: Type.String(),
  /** What the mail server said last. */
  reply: Type.Optional(MailServerReply),
  /** Oldest first; only where one mail is asked for. */
  history: Type.Optional(Type.Array(MailAttempt)),
});
export type MailRecipient = Static<typeof MailRecipient>;

/**
 * Where a mail stands: `data` of `GET /mails/:id`. Times are RFC 3339 in UTC. Never its text. `to`, `attempts`,
 * `next_attempt_at`, `reply` and `updated_at` are those of the first recipient whose state is the mail's.
 */
export const MailView = Type.Object({
  id: Type.String(),
  state: MailSum,
  from: Type.String(),
  to: Type.String(),
  subject: Type.String(),
  attempts: Type.Integer(),
  created_at: Type.String(),
  updated_at: Type.String(),
  next_attempt_at: Type.Optional(Type.String()),
  expires_at: Type.String(),
  reply: Type.Optional(MailServerReply),
  recipients: Type.Array(MailRecipient),
  priority: Type.Union(PRIORITIES.map((priority) => Type.Literal(priority))),
  list: Type.Optional(Type.String()),
  template: Type.Optional(Type.Object({ name: Type.String(), version: Type.Integer(), locale: Type.String() })),
  attachments: Type.Optional(
    Type.Array(Type.Object({ filename: Type.String(), content_type: Type.String(), bytes: Type.Integer() })),
  ),
  /** Of the request that it came with; only where one mail is asked for. */
  trace_id: Type.Optional(Type.String()),
});
export type MailView = Static<typeof MailView>;

export const MailPage = Type.Object({ items: Type.Array(MailView), next_cursor: Type.Optional(Type.String()) });
export type MailPage = Static<typeof MailPage>;

const When = (what: string) => Type.Optional(Type.String({ maxLength: 40, description: `${what} (RFC 3339)` }));
/** Query of `GET /mails`; newest first. All that is given has to hold, of one recipient at least. */
export const MailQuery = Type.Object({
  state: Type.Optional(MailState),
  to: Type.Optional(Address),
  from: Type.Optional(Address),
  list: Type.Optional(Type.String({ maxLength: 64 })),
  /** The name of the template that it was made from, whatever version and locale. */
  template: Type.Optional(Type.String({ pattern: TEMPLATE_NAME_PATTERN, description: "the name of a template" })),
  since: When("accepted at or after"),
  until: When("accepted before"),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
});
export type MailQuery = Static<typeof MailQuery>;

/** What a mail looks like to who gets it: `data` of `GET /mails/:id/content` and of a template's preview. */
export const MailContent = Type.Object({
  subject: Type.String(),
  text: Type.String(),
  html: Type.String(),
  template: Type.Optional(Type.Object({ name: Type.String(), version: Type.Integer(), locale: Type.String() })),
});
export type MailContent = Static<typeof MailContent>;

export const TemplateView = Type.Object({
  name: Type.String(),
  version: Type.Integer(),
  locales: Type.Array(Type.String()),
  description: Type.String(),
  /** JSON Schema (draft 2020-12) of `variables`. */
  schema: Type.Unknown(),
  /** Variables to try it with. */
  example: Type.Record(Type.String(), Type.Unknown()),
});
export type TemplateView = Static<typeof TemplateView>;
export const TemplateList = Type.Object({ items: Type.Array(TemplateView) });
export type TemplateList = Static<typeof TemplateList>;
/** Body of `POST /templates/:name/preview`. */
export const PreviewRequest = Type.Omit(TemplateChoice, ["name"]);
export type PreviewRequest = Static<typeof PreviewRequest>;

/** Body of `POST /mails/:id/resolve`: what is to become of it. `resend` also for what failed, expired, bounced or was cancelled. */
export const ResolveRequest = Type.Object({
  as: Type.Union([Type.Literal("sent"), Type.Literal("failed"), Type.Literal("resend")]),
  /** Only for this recipient; default: for all whom it can be for. */
  to: Type.Optional(Address),
});
export type ResolveRequest = Static<typeof ResolveRequest>;
/** Body of `POST /mails/:id/cancel`. */
export const CancelRequest = Type.Object({ to: Type.Optional(Address) });
export type CancelRequest = Static<typeof CancelRequest>;

export const Suppression = Type.Object({
  address: Type.String(),
  /** The mailing list that it is for; absent: all mail. */
  list: Type.Optional(Type.String()),
  reason: Type.String(),
  created_at: Type.String(),
});
export type Suppression = Static<typeof Suppression>;
export const SuppressionPage = Type.Object({
  items: Type.Array(Suppression),
  next_cursor: Type.Optional(Type.String()),
});
export type SuppressionPage = Static<typeof SuppressionPage>;
export const SuppressionQuery = Type.Object({
  address: Type.Optional(Address),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
});
export type SuppressionQuery = Static<typeof SuppressionQuery>;
export const SuppressRequest = Type.Object({
  address: Address,
  list: Type.Optional(
    Type.String({ pattern: "^[a-z0-9][a-z0-9._-]{0,63}$", description: "the name of a mailing list" }),
  ),
  reason: Type.Optional(Type.String({ minLength: 1, maxLength: 200, pattern: "^[^\\u0000-\\u001f\\u007f]*$" })),
});
export type SuppressRequest = Static<typeof SuppressRequest>;

/** Body of `POST /bounces`: a delivery status notification (RFC 3464) as it came. */
export const BounceRequest = Type.Object({
  /** The whole message (RFC 5322); base64 where `encoding` says so. */
  message: Type.String({ minLength: 1 }),
  encoding: Type.Optional(Type.Literal("base64")),
});
export type BounceRequest = Static<typeof BounceRequest>;
/** What was made of it. */
export const BounceReport = Type.Object({
  recipients: Type.Array(
    Type.Object({
      address: Type.String(),
      action: Type.String({ description: "failed, delayed, delivered, relayed or expanded" }),
      status: Type.String({ description: "enhanced status code (RFC 3463), e.g. 5.1.1" }),
      /** The mail that it is about, where that is one of ours. */
      mail_id: Type.Optional(Type.String()),
      /** Whether the address is on the suppression list now because of it. */
      suppressed: Type.Boolean(),
    }),
  ),
});
export type BounceReport = Static<typeof BounceReport>;

/** Topic exchange (durable) of what becomes of mails; routing keys `mail.<state>`. Whoever wants it binds a queue. */
export const MAIL_EXCHANGE = "mail_topic";
/** Body of such an event, and of a webhook. `id` is also its `message_id`; the same event may come more than once. */
export const MailEvent = Type.Object({
  id: Type.String(),
  type: Type.String({
    description: "mail.sent, mail.deferred, mail.failed, mail.expired, mail.ambiguous, mail.bounced, mail.cancelled",
  }),
  at: Type.String(),
  mail_id: Type.String(),
  recipient: Type.String(),
  state: MailState,
  attempts: Type.Integer(),
  reply: Type.Optional(MailServerReply),
});
export type MailEvent = Static<typeof MailEvent>;
