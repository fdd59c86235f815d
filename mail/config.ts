/** Everything the mail service reads from its environment. */
import { choice, commonFields, type Field, integer, list, secretUrl, text, type Values } from "#shared/config";
import { ALLOWED_PATTERN } from "./address.ts";

const DAY_MS = 86_400_000;
const ALLOWED = "* for all, or a comma-separated list of addresses and @domains";

/** Comma-separated whole numbers of milliseconds, at least one. */
function durations(about: string, fallback: string): Field<number[]> {
  return {
    about,
    allowed: "a comma-separated list of 1 to 100 whole numbers of milliseconds, each from 1 to 2592000000",
    default: fallback,
    required: false,
    secret: false,
    parse: (value) => {
      const items = value.split(",").map((part) => part.trim());
      const numbers = items.map((part) => (/^\d{1,10}$/.test(part) ? Number(part) : Number.NaN));
      return numbers.length <= 100 && numbers.every((ms) => ms >= 1 && ms <= 30 * DAY_MS) ? numbers : undefined;
    },
  };
}

export const fields = {
  ...commonFields(8083),
  DATABASE_URL: secretUrl("PostgreSQL with the outbox", "postgres://postgres@localhost:5432/mail", [
    "postgres",
    "postgresql",
  ]),
  SMTP_URL: secretUrl("Mail server; smtps:// for TLS from the start", "smtp://localhost:1025", ["smtp", "smtps"]),
  SMTP_TLS: choice(
    "Whether smtp:// must turn to TLS (STARTTLS): auto requires it for every server but one on this machine",
    "auto",
    ["auto", "required", "if-offered"],
  ),
  SMTP_CONNECTIONS: integer("Mails on their way to the mail server at once, each on a connection", 5, {
    min: 1,
    max: 100,
  }),
  SMTP_CONNECT_TIMEOUT_MS: integer("Longest wait for a connection and its greeting (ms)", 10_000, {
    min: 100,
    max: 60_000,
  }),
  SMTP_ATTEMPT_TIMEOUT_MS: integer(
    "Longest attempt to hand over one mail (ms); one that is cut after its content began is ambiguous",
    60_000,
    { min: 200, max: 900_000 },
  ),
  MAIL_DOMAIN: text(
    "Own domain: in Message-ID and in the greeting to the mail server",
    "localhost",
    /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/,
    "a domain name",
  ),
  SEND_WAIT_MS: integer(
    "How long POST /send waits for the first attempt before it answers that the mail is queued (ms)",
    2_000,
    {
      min: 0,
      max: 25_000,
    },
  ),
  RETRY_SCHEDULE_MS: durations(
    "Waits between attempts that the mail server put off (ms); the last one repeats",
    "60000,300000,900000,1800000",
  ),
  EXPIRE_AFTER_MS: integer("Age at which an undelivered mail is given up (ms)", 5 * DAY_MS, {
    min: 100,
    max: 30 * DAY_MS,
  }),
  OUTBOX_POLL_MS: integer("How often the outbox is looked through for what is due (ms)", 1_000, {
    min: 10,
    max: 60_000,
  }),
  AMBIGUOUS_POLICY: choice(
    "What is done about a mail that may have been sent: hold until somebody decides, or resend with the same Message-ID after the first wait, so that it may arrive twice",
    "hold",
    ["hold", "resend"],
  ),
  RETENTION_MS: integer(
    "Age from which a mail that is done with is deleted, and its Idempotency-Key forgotten (ms); 0 keeps all for ever",
    30 * DAY_MS,
    { min: 0, max: 3_650 * DAY_MS },
  ),
  ALLOWED_SENDERS: list("Whom mails may be from", "*", ALLOWED_PATTERN, ALLOWED),
  ALLOWED_RECIPIENTS: list("Whom mails may be to", "*", ALLOWED_PATTERN, ALLOWED),
  SENDER_QUOTA_PER_HOUR: integer("Recipients that one sender may write to within an hour (UTC); 0 for any number", 0, {
    min: 0,
    max: 1_000_000,
  }),
};

export type Config = Values<typeof fields>;
