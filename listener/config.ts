/** Everything that the listener reads from its environment. */
import { bindingsField, queueField } from "#shared/amqp";
import {
  commonFields,
  integer,
  knownCredentials,
  optional,
  secret,
  secretUrl,
  urls,
  type Values,
} from "#shared/config";
import { advertiseFields, discoveryFields, discoveryProblems } from "#shared/discovery";
import { rpcTokenProblems, serviceCallersField, serviceKeyField, serviceKeyProblems } from "#shared/service-keys";
import { tracesUrlField, tracingFields } from "#shared/tracing";

export const fields = {
  ...commonFields(8084),
  ...tracingFields,
  ...tracesUrlField,
  RABBITMQ_URL: secretUrl("RabbitMQ, its virtual host as the path", "amqp://guest:guest@localhost:5672", [
    "amqp",
    "amqps",
  ]),
  RABBITMQ_MANAGEMENT_URL: optional(
    secretUrl("RabbitMQ's management, with a user who may set policies: events that no queue wants are kept then", "", [
      "http",
      "https",
    ]),
  ),
  LOGGER_RPC_URL: urls("RPC of the logger, or of each of its instances", "tcp://localhost:5001", ["tcp", "tls"]),
  LOGGER_RPC_TOKEN: secret("Token of the logger's RPC, where it wants one"),
  MAIL_URL: urls("Mail service, or each of its instances", "http://localhost:8083", ["http", "https"]),
  SERVICE_KEY: serviceKeyField,
  ...discoveryFields,
  ...advertiseFields,
  SERVICE_CALLERS: serviceCallersField,
  WORKERS: integer("Worker threads, each with connections of its own; set it as LISTENER_WORKERS", 2, {
    min: 1,
    max: 64,
  }),
  PREFETCH: integer("Events that one worker has in hand at a time; set it as LISTENER_PREFETCH", 300, {
    min: 1,
    max: 10_000,
  }),
  QUEUE: queueField,
  BINDINGS: bindingsField,
};

export type Config = Values<typeof fields>;

/** What is wrong with the values together. */
export function problemsOf(config: Config): string[] {
  return [
    ...knownCredentials(config),
    ...serviceKeyProblems(config, ["SERVICE_KEY", "SERVICE_CALLERS"]),
    ...rpcTokenProblems(config),
    ...discoveryProblems(config),
  ];
}
