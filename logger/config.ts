import {
  commonFields,
  integer,
  knownCredentials,
  list,
  optional,
  port,
  Secret,
  secret,
  secretUrl,
  type Values,
} from "#shared/config";
import { advertiseFields } from "#shared/discovery";
import { rpcTokenProblems, serviceCallersField, serviceKeyProblems } from "#shared/service-keys";
import { tracingFields } from "#shared/tracing";
import { readRules } from "./retention/policy.ts";
import { type AuditKey, auditKeyOf } from "./audit/seal.ts";

/** Shortest AUDIT_SECRET (characters) that production starts with. */
const MIN_SECRET = 32;
/** Stands in for AUDIT_SECRET on a developer's machine: everybody knows it. */
const DEVELOPMENT_SECRET = "development only, known to everybody";

/** Every variable that the logger reads. */
export const fields = {
  ...commonFields(8082),
  ...tracingFields,
  MONGODB_URL: secretUrl("MongoDB; database `logs` where the URL names none", "mongodb://localhost:27017/logs", [
    "mongodb",
    "mongodb+srv",
  ]),
  RPC_PORT: port("TCP port of the RPC, on the same address as HTTP", 5001),
  LOGGER_RPC_TOKEN: secret(
    "What callers of the RPC have to show; without it none is needed. Production needs 32 characters or more",
  ),
  RETENTION: list(
    "How long entries are kept, by severity and name: INFO=30d,WARNING=90d,name:debug*=1d,ERROR+name:debug*=7d,*=1y. The most specific rule holds; what has none is kept for ever, and so are entries named audit",
    "",
    /^[^\0]{1,300}$/,
    "a comma-separated list of rules, each <which>=<a number with m, h, d, w or y, or forever>",
  ),
  SERVICE_CALLERS: serviceCallersField,
  RABBITMQ_URL: optional(
    secretUrl("RabbitMQ, where this instance is to announce itself to its callers", "", ["amqp", "amqps"]),
  ),
  ...advertiseFields,
  AUDIT_SECRET: secret(
    "Seals the audit trail (docs/audit.md): the same for all loggers. Production needs 32 characters or more; development has a fixed one",
  ),
  AUDIT_OLD_SECRETS: secret(
    "Secrets that sealed the audit trail before AUDIT_SECRET, separated by spaces or commas: it is verified with them, and nothing is sealed",
  ),
  INDEX_MEMORY_MIB: integer(
    "On FerretDB: memory for the index of entries (MiB), about 100 to 150 bytes an entry. Questions for what is rare read what does not fit, at each",
    192,
    { min: 1, max: 65_536 },
  ),
  TRACES_MAX: integer("Traces that are kept, of all services; 0: none", 10_000, { min: 0, max: 10_000_000 }),
  TRACES_MAX_AGE_S: integer("How long a trace is kept (s)", 86_400, { min: 60, max: 31_536_000 }),
  TRACE_MAX_SPANS: integer("Spans that one logger keeps of one trace; the rest is dropped, and counted", 1_000, {
    min: 1,
    max: 100_000,
  }),
};

export type Config = Values<typeof fields>;

/** What is wrong with the values together. */
export function problemsOf(config: Config): string[] {
  return [
    ...knownCredentials(config),
    ...serviceKeyProblems(config, ["SERVICE_CALLERS"]),
    ...rpcTokenProblems(config),
    ...readRules(config.RETENTION).problems.map((problem) => `RETENTION ${problem}`),
    ...auditProblems(config),
  ];
}

function auditProblems({ ENVIRONMENT, AUDIT_SECRET }: Config): string[] {
  if (ENVIRONMENT !== "production") return [];
  if (AUDIT_SECRET === undefined) {
    return [
      `AUDIT_SECRET is missing: production needs text of at least ${MIN_SECRET} characters (openssl rand -base64 32), or AUDIT_SECRET_FILE`,
    ];
  }
  const secret = AUDIT_SECRET.reveal();
  const isWeak = secret.length < MIN_SECRET || /[\s,]/.test(secret);
  return isWeak
    ? [`AUDIT_SECRET must be at least ${MIN_SECRET} characters long in production, without spaces and commas`]
    : [];
}

/** The key that seals, and after it those that only verify. */
export function auditKeysOf({ AUDIT_SECRET, AUDIT_OLD_SECRETS }: Config): readonly [AuditKey, ...AuditKey[]] {
  const present = AUDIT_SECRET ?? new Secret(DEVELOPMENT_SECRET);
  const old = (AUDIT_OLD_SECRETS?.reveal() ?? "").split(/[\s,]+/).filter((secret) => secret !== "");
  return [auditKeyOf(present.reveal()), ...old.map(auditKeyOf)];
}
