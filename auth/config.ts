/** Everything that auth reads from its environment. */
import { ADDRESS_PATTERN } from "#contracts/mail";
import { bindingsField, queueField } from "#shared/amqp";
import {
  choice,
  commonFields,
  integer,
  knownCredentials,
  optional,
  Secret,
  secret,
  secretUrl,
  text,
  url,
  urls,
  type Values,
} from "#shared/config";
import { advertiseFields, discoveryFields, discoveryProblems } from "#shared/discovery";
import { serviceCallersField, serviceKeyField, serviceKeyProblems } from "#shared/service-keys";
import { redisUrlField } from "#shared/redis";
import { tracesUrlField, tracingFields } from "#shared/tracing";

/** Shortest AUTH_SECRET (characters) and least bcrypt cost (OWASP Password Storage) that production starts with. */
const MIN_SECRET = 32;
const MIN_PRODUCTION_COST = 10;
/** Stands in for AUTH_SECRET on a developer's machine: everybody knows it. */
const DEVELOPMENT_SECRET = "development only, known to everybody";

/** Of no use in a mail that is read elsewhere. */
const LOCAL_URL = "http://localhost:8080";

export const fields = {
  ...commonFields(8081),
  ...tracingFields,
  ...tracesUrlField,
  DATABASE_URL: secretUrl("PostgreSQL with the users", "postgres://postgres@localhost:5432/users", [
    "postgres",
    "postgresql",
  ]),
  MAIL_URL: urls("The mail service: mails to users", "http://localhost:8083", ["http", "https"]),
  RABBITMQ_URL: secretUrl("RabbitMQ: events", "amqp://guest:guest@localhost:5672", ["amqp", "amqps"]),
  LISTENER_QUEUE: queueField,
  LISTENER_BINDINGS: bindingsField,
  WELCOME_FROM: text(
    "Sender of mails to users; a mail server refuses one whose domain it does not serve",
    "noreply@localhost",
    new RegExp(ADDRESS_PATTERN),
    "one plain e-mail address",
  ),
  PUBLIC_URL: url("Where people reach the platform: links in mails begin with it", LOCAL_URL, ["http", "https"]),
  SERVICE_KEY: serviceKeyField,
  ...discoveryFields,
  ...advertiseFields,
  SERVICE_CALLERS: serviceCallersField,
  AUTH_SECRET: secret(
    "Encrypts the signing keys and keys the pre-hash of long passwords: the same for all replicas, kept for ever. Production needs 32 characters or more; development has a fixed one",
  ),
  LOGIN_THROTTLE: optional(
    choice(
      "Logins that fail grow slower, by account and by address (docs/limits.md). Default: off in development, on in production",
      "on",
      ["on", "off"],
    ),
  ),
  USER_CACHE_MS: integer(
    "How long it is remembered who the user of a session is (ms), unless a change is told before; 0: it is always looked up",
    2_000,
    { min: 0, max: 5_000 },
  ),
  REDIS_URL: redisUrlField("login throttling, and who the user of a session is, for all replicas together"),
  SESSION_IDLE_DAYS: integer("A session that is not used for this long is over (days)", 30, { min: 1, max: 365 }),
  SESSION_MAX_DAYS: integer("Longest that a session lasts, however often it is used (days)", 90, {
    min: 1,
    max: 3_650,
  }),
  SIGNING_KEY_MAX_AGE_DAYS: integer(
    "A signing key of this age is followed by a new one, without anybody noticing (days; 0: only by the command)",
    90,
    { min: 0, max: 3_650 },
  ),
  BCRYPT_COST: integer(
    "Cost of new password hashes: each step doubles the time. Older hashes of a lower cost are renewed at login. Production needs 10 or more",
    12,
    { min: 4, max: 16 },
  ),
  HASH_WORKERS: optional(integer("Threads that hash passwords. Default: one a core", 1, { min: 1, max: 64 })),
  HASH_QUEUE: integer("Logins that may wait for such a thread, and as many registrations; more are answered 503", 32, {
    min: 1,
    max: 10_000,
  }),
};

export type Config = Values<typeof fields>;

/** What is wrong with the values together. */
export function problemsOf(config: Config): string[] {
  const { ENVIRONMENT, AUTH_SECRET, BCRYPT_COST, PUBLIC_URL } = config;
  if (ENVIRONMENT !== "production") return [];
  const problems = [
    ...knownCredentials(config),
    ...discoveryProblems(config),
    ...serviceKeyProblems(config, ["SERVICE_KEY", "SERVICE_CALLERS"]),
  ];
  if (AUTH_SECRET === undefined) {
    problems.push(
      `AUTH_SECRET is missing: production needs text of at least ${MIN_SECRET} characters (openssl rand -base64 32), or AUTH_SECRET_FILE`,
    );
  } else if (AUTH_SECRET.reveal().length < MIN_SECRET || AUTH_SECRET.reveal() === DEVELOPMENT_SECRET) {
    problems.push(`AUTH_SECRET must be at least ${MIN_SECRET} characters long in production, and a secret`);
  }
  if (BCRYPT_COST < MIN_PRODUCTION_COST) {
    problems.push(`BCRYPT_COST must be at least ${MIN_PRODUCTION_COST} in production, not "${BCRYPT_COST}"`);
  }
  if (PUBLIC_URL === LOCAL_URL) {
    problems.push("PUBLIC_URL is missing: production needs the address where people reach the platform");
  }
  return problems;
}

/** Whether logins are throttled: as configured, else in production. */
export function isThrottled({ LOGIN_THROTTLE, ENVIRONMENT }: Config): boolean {
  return (LOGIN_THROTTLE ?? (ENVIRONMENT === "production" ? "on" : "off")) === "on";
}

export function secretOf({ AUTH_SECRET }: Config): Secret {
  return AUTH_SECRET ?? new Secret(DEVELOPMENT_SECRET);
}

/** Undefined: never. */
export function keyMaxAgeOf({ SIGNING_KEY_MAX_AGE_DAYS }: Config): number | undefined {
  return SIGNING_KEY_MAX_AGE_DAYS === 0 ? undefined : SIGNING_KEY_MAX_AGE_DAYS * 86_400_000;
}
