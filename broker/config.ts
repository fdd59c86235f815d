/** Everything the broker reads from its environment. */
import { bindingsField, queueField } from "#shared/amqp";
import {
  choice,
  commonFields,
  integer,
  optional,
  Secret,
  secret,
  secretUrl,
  text,
  url,
  urls,
  type Values,
  knownCredentials,
} from "#shared/config";
import { rpcTokenProblems, serviceKeyField, serviceKeyProblems } from "#shared/service-keys";
import { discoveryFields, discoveryProblems } from "#shared/discovery";
import { guardFields, proxyFields } from "#shared/http";
import { rateLimitsField } from "#shared/limits";
import { redisUrlField } from "#shared/redis";
import { operatorTokenField } from "./access/operator-token.ts";
import { tracesUrlField, tracingFields } from "#shared/tracing";

/** Shortest RECEIPT_SECRET (characters) that production starts with. */
const MIN_SECRET = 32;
/** Stands in for RECEIPT_SECRET on a developer's machine: everybody knows it. */
const DEVELOPMENT_SECRET = "development only, known to everybody";

export const fields = {
  ...commonFields(8080),
  ...tracingFields,
  ...tracesUrlField,
  ...guardFields,
  AUTH_URL: urls("The auth service, or each of its instances", "http://localhost:8081", ["http", "https"]),
  MAIL_URL: urls("The mail service, or each of its instances", "http://localhost:8083", ["http", "https"]),
  LOGGER_URL: urls("The logger's HTTP side, or that of each instance", "http://localhost:8082", ["http", "https"]),
  LISTENER_URL: urls("The listener, or each of its instances", "http://localhost:8084", ["http", "https"]),
  LOGGER_RPC_URL: urls("The logger's RPC, or that of each instance", "tcp://localhost:5001", ["tcp", "tls"]),
  LOGGER_RPC_TOKEN: secret("What the logger's RPC asks for, if it does"),
  SERVICE_KEY: serviceKeyField,
  ...discoveryFields,
  RABBITMQ_URL: secretUrl("RabbitMQ", "amqp://guest:guest@localhost:5672", ["amqp", "amqps"]),
  // The broker declares what it publishes to, so that an event before the first listener is kept too.
  LISTENER_QUEUE: queueField,
  LISTENER_BINDINGS: bindingsField,
  SPOOL_DIR: text("Directory that keeps what nobody behind could take; one broker a directory", ".data/spool"),
  RECEIPT_SECRET: secret(
    "Signs the ids of what is accepted and makes ids from Idempotency-Keys: the same for all brokers. Changed, older ids are nobody's and older keys are new. Production needs 32 characters or more; development has a fixed one",
  ),
  SESSION_CACHE_MAX_AGE_S: integer(
    "How long what auth said of a session is given again while auth is away (s); 0: not at all",
    600,
    { min: 0, max: 86_400 },
  ),
  RATE_LIMITS: rateLimitsField,
  REDIS_URL: redisUrlField("rate limits that all brokers count together"),
  ...proxyFields,
  ACCESS: optional(
    choice(
      "open: `POST /handle`, `POST /` and `POST /v1/mails` also without a credential; closed: with the scope only. Default: open in development; production has to say which (docs/access.md)",
      "open",
      ["open", "closed"],
    ),
  ),
  OPERATOR_TOKEN: operatorTokenField,
  OPENAPI: choice("Whether the API's description is there: /openapi.json and the page /openapi", "on", ["on", "off"]),
  CHAOS_URL: optional(
    url("Who breaks this platform on behalf of the console: set by bun run up, refused in production", "", ["http"]),
  ),
  CHAOS_TOKEN: secret("What is shown there"),
  INBOX_URL: optional(url("Page of the development inbox, for a link on the first page", "", ["http", "https"])),
};

export type Config = Values<typeof fields>;

/** What is wrong with the values together. */
export function problemsOf(config: Config): string[] {
  return [
    ...knownCredentials(config),
    ...serviceKeyProblems(config, ["SERVICE_KEY"]),
    ...rpcTokenProblems(config),
    ...discoveryProblems(config),
    ...receiptProblems(config),
    ...accessProblems(config),
    ...chaosProblems(config),
  ];
}

function receiptProblems({ ENVIRONMENT, RECEIPT_SECRET }: Config): string[] {
  if (ENVIRONMENT !== "production") return [];
  if (RECEIPT_SECRET === undefined) {
    return [
      `RECEIPT_SECRET is missing: production needs text of at least ${MIN_SECRET} characters (openssl rand -base64 32), or RECEIPT_SECRET_FILE`,
    ];
  }
  const isWeak = RECEIPT_SECRET.reveal().length < MIN_SECRET || RECEIPT_SECRET.reveal() === DEVELOPMENT_SECRET;
  return isWeak ? [`RECEIPT_SECRET must be at least ${MIN_SECRET} characters long in production, and a secret`] : [];
}

function accessProblems({ ENVIRONMENT, ACCESS }: Config): string[] {
  if (ENVIRONMENT !== "production" || ACCESS !== undefined) return [];
  return ["ACCESS is missing: production needs closed, or open where everybody may log entries and send mails"];
}

function chaosProblems({ ENVIRONMENT, CHAOS_URL, CHAOS_TOKEN }: Config): string[] {
  if (ENVIRONMENT !== "production" || (CHAOS_URL === undefined && CHAOS_TOKEN === undefined)) return [];
  return ["CHAOS_URL and CHAOS_TOKEN are for development: production can't be broken from its console; leave them out"];
}

/** Whether actions are for everybody, as it was said, else as on a developer's machine. */
export function accessOf({ ACCESS }: Config): "open" | "closed" {
  return ACCESS ?? "open";
}

export function receiptSecretOf({ RECEIPT_SECRET }: Config): Secret {
  return RECEIPT_SECRET ?? new Secret(DEVELOPMENT_SECRET);
}
