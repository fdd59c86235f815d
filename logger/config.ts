import { commonFields, knownCredentials, list, optional, port, secret, secretUrl, type Values } from "#shared/config";
import { advertiseFields, announcingKeyField } from "#shared/discovery";
import { rpcTokenProblems, serviceCallersField, serviceKeyProblems } from "#shared/service-keys";
import { readRules } from "./retention/policy.ts";

/** Every variable that the logger reads. */
export const fields = {
  ...commonFields(8082),
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
  SERVICE_KEY: announcingKeyField,
  ...advertiseFields,
};

export type Config = Values<typeof fields>;

/** What is wrong with the values together. */
export function problemsOf(config: Config): string[] {
  return [
    ...knownCredentials(config),
    ...serviceKeyProblems(config, ["SERVICE_CALLERS"]),
    ...rpcTokenProblems(config),
    ...readRules(config.RETENTION).problems.map((problem) => `RETENTION ${problem}`),
  ];
}
