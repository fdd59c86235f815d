/** Everything that auth reads from its environment. */
import { ADDRESS_PATTERN } from "#contracts/mail";
import { bindingsField, queueField } from "#shared/amqp";
import {
  commonFields,
  integer,
  knownCredentials,
  optional,
  Secret,
  secret,
  secretUrl,
  text,
  url,
  type Values,
} from "#shared/config";

/** Shortest AUTH_SECRET (characters) and least bcrypt cost (OWASP Password Storage) that production starts with. */
const MIN_SECRET = 32;
const MIN_PRODUCTION_COST = 10;
/** Stands in for AUTH_SECRET on a developer's machine: everybody knows it. */
const DEVELOPMENT_SECRET = "development only, known to everybody";

export const fields = {
  ...commonFields(8081),
  DATABASE_URL: secretUrl("PostgreSQL with the users", "postgres://postgres@localhost:5432/users", [
    "postgres",
    "postgresql",
  ]),
  MAIL_URL: url("The mail service: welcome mails", "http://localhost:8083", ["http", "https"]),
  RABBITMQ_URL: secretUrl("RabbitMQ: events", "amqp://guest:guest@localhost:5672", ["amqp", "amqps"]),
  LISTENER_QUEUE: queueField,
  LISTENER_BINDINGS: bindingsField,
  WELCOME_FROM: text(
    "Sender of welcome mails; a mail server refuses one whose domain it does not serve",
    "noreply@localhost",
    new RegExp(ADDRESS_PATTERN),
    "one plain e-mail address",
  ),
  AUTH_SECRET: secret(
    "Encrypts the signing keys and keys the pre-hash of long passwords: the same for all replicas, kept for ever. Production needs 32 characters or more; development has a fixed one",
  ),
  BCRYPT_COST: integer(
    "Cost of new password hashes: each step doubles the time. Older hashes of a lower cost are renewed at login. Production needs 10 or more",
    12,
    { min: 4, max: 16 },
  ),
  HASH_WORKERS: optional(integer("Threads that hash passwords. Default: one a core", 1, { min: 1, max: 64 })),
  HASH_QUEUE: integer("Logins and registrations that may wait for such a thread; more are answered 503", 32, {
    min: 1,
    max: 10_000,
  }),
};

export type Config = Values<typeof fields>;

/** What is wrong with the values together. */
export function problemsOf(config: Config): string[] {
  const { ENVIRONMENT, AUTH_SECRET, BCRYPT_COST } = config;
  if (ENVIRONMENT !== "production") return [];
  const problems = knownCredentials(config);
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
  return problems;
}

export function secretOf({ AUTH_SECRET }: Config): Secret {
  return AUTH_SECRET ?? new Secret(DEVELOPMENT_SECRET);
}
