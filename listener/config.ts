/** Everything that the listener reads from its environment. */
import { LOGS_QUEUE, routingKeyOf } from "#contracts/events";
import { SEVERITIES } from "#contracts/logs";
import { commonFields, integer, list, secret, secretUrl, text, url, type Values } from "#shared/config";

export const fields = {
  ...commonFields(8084),
  RABBITMQ_URL: secretUrl("RabbitMQ, its virtual host as the path", "amqp://guest:guest@localhost:5672", [
    "amqp",
    "amqps",
  ]),
  LOGGER_RPC_URL: url("RPC of the logger", "tcp://localhost:5001", ["tcp", "tls"]),
  LOGGER_RPC_TOKEN: secret("Token of the logger's RPC, where it wants one"),
  MAIL_URL: url("Mail service", "http://localhost:8083", ["http", "https"]),
  WORKERS: integer("Worker threads, each with connections of its own; set it as LISTENER_WORKERS", 2, {
    min: 1,
    max: 64,
  }),
  PREFETCH: integer("Events that one worker has in hand at a time; set it as LISTENER_PREFETCH", 300, {
    min: 1,
    max: 10_000,
  }),
  QUEUE: text(
    "Queue of events; set it as LISTENER_QUEUE",
    LOGS_QUEUE,
    /^(?!amq\.)[\x21-\x7e]{1,200}$/,
    "a queue's name of 1 to 200 characters",
  ),
  BINDINGS: list(
    "Routing keys of logs_topic that the queue gets; set it as LISTENER_BINDINGS",
    SEVERITIES.map(routingKeyOf).join(","),
    /^[\x21-\x7e]{1,200}$/,
    "a comma-separated list of routing keys",
  ),
};

export type Config = Values<typeof fields>;
