/** Everything the mail service reads from its environment. */
import { LOCALE_PATTERN } from "#contracts/mail";
import {
  choice,
  commonFields,
  type Field,
  integer,
  knownCredentials,
  list,
  optional,
  Secret,
  secretUrl,
  text,
  url,
  type Values,
} from "#shared/config";
import { advertiseFields } from "#shared/discovery";
import { serviceCallersField, serviceKeyField, serviceKeyProblems } from "#shared/service-keys";
import { ALLOWED_PATTERN } from "./address.ts";
import { webhookFields, webhookProblems } from "./events/targets.ts";
import { type DkimOptions, isDkimKey } from "./message/dkim.ts";
import { tracesUrlField, tracingFields } from "#shared/tracing";

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

/** Secret text that may be absent, and is checked where it is not. */
function checkedSecret(about: string, allowed: string, isRight: (text: string) => boolean): Field<Secret | undefined> {
  return {
    about,
    allowed,
    default: undefined,
    required: false,
    secret: true,
    parse: (value) => (isRight(value) ? new Secret(value) : undefined),
  };
}

const DOMAIN =
  /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;
const MIN_SECRET = 32;

export const fields = {
  ...commonFields(8083),
  ...tracingFields,
  ...tracesUrlField,
  SERVICE_KEY: {
    ...serviceKeyField,
    about:
      "Key that shows the logger whose spans these are, needed where the logger knows its callers and TRACES_URL is not off (bun run service-key)",
  },
  SERVICE_CALLERS: serviceCallersField,
  ...advertiseFields,
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
    DOMAIN,
    "a domain name",
  ),
  DKIM_PRIVATE_KEY: checkedSecret(
    "Key that mails are signed with (DKIM); goes with DKIM_SELECTOR. Without both mails are not signed here",
    "an RSA private key of 2048 to 4096 bits as PEM, without a passphrase",
    isDkimKey,
  ),
  DKIM_SELECTOR: optional(
    text(
      "Name under which the public key is published: <selector>._domainkey.<domain>",
      "",
      DOMAIN,
      "letters, digits, hyphens and dots",
    ),
  ),
  DKIM_DOMAIN: optional(
    text("Domain that signs, that of the senders for DMARC. Default: MAIL_DOMAIN", "", DOMAIN, "a domain name"),
  ),
  PUBLIC_URL: optional(url("The broker as the world reaches it: in links to unsubscribe with", "", ["http", "https"])),
  UNSUBSCRIBE_SECRET: checkedSecret(
    "Signs links to unsubscribe with; goes with PUBLIC_URL, and mails to a list need both. The same for all replicas, kept for as long as such mails may be read",
    `text of at least ${MIN_SECRET} characters (openssl rand -base64 32)`,
    (value) => value.length >= MIN_SECRET,
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
  TEMPLATES_DIR: optional(
    text("Directory with templates besides those that are built in; of the same name and version, its win", ""),
  ),
  DEFAULT_LOCALE: text(
    "Language of a mail from a template that is not there in the one asked for",
    "en",
    new RegExp(LOCALE_PATTERN),
    "a locale such as en or de-AT",
  ),
  OUTBOX_POLL_MS: integer("How often the outbox is looked through for what is due (ms)", 1_000, {
    min: 10,
    max: 60_000,
  }),
  RABBITMQ_URL: secretUrl("RabbitMQ: what becomes of mails", "amqp://guest:guest@localhost:5672", ["amqp", "amqps"]),
  ...webhookFields,
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

/** What is wrong with the values together. */
export function problemsOf(config: Config): string[] {
  const { DKIM_PRIVATE_KEY, DKIM_SELECTOR, DKIM_DOMAIN, PUBLIC_URL, UNSUBSCRIBE_SECRET } = config;
  const problems = [
    ...knownCredentials(config),
    ...serviceKeyProblems(config, ["SERVICE_CALLERS"]),
    ...webhookProblems(config),
  ];
  const isAsked = DKIM_PRIVATE_KEY !== undefined || DKIM_SELECTOR !== undefined || DKIM_DOMAIN !== undefined;
  if (isAsked && DKIM_PRIVATE_KEY === undefined) {
    problems.push(
      "DKIM_PRIVATE_KEY is missing, and DKIM_PRIVATE_KEY_FILE: DKIM needs key and selector; without DKIM none of its variables is set",
    );
  } else if (isAsked && DKIM_SELECTOR === undefined) {
    problems.push("DKIM_SELECTOR is missing: DKIM_PRIVATE_KEY signs under the name that its public key has in the DNS");
  }
  if (UNSUBSCRIBE_SECRET !== undefined && PUBLIC_URL === undefined) {
    problems.push("PUBLIC_URL is missing: UNSUBSCRIBE_SECRET signs links that begin with it");
  }
  return problems;
}

/** What mails are signed with; undefined where they are not. */
export function dkimOptionsOf({
  DKIM_PRIVATE_KEY: privateKey,
  DKIM_SELECTOR: selector,
  DKIM_DOMAIN,
  MAIL_DOMAIN,
}: Config): DkimOptions | undefined {
  if (privateKey === undefined || selector === undefined) return undefined;
  return { privateKey, selector, domain: DKIM_DOMAIN ?? MAIL_DOMAIN };
}
