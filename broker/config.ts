/** Everything the broker reads from its environment. */
import { bindingsField, queueField } from "#shared/amqp";
import { commonFields, optional, secret, secretUrl, text, url, type Values } from "#shared/config";

export const fields = {
  ...commonFields(8080),
  AUTH_URL: url("The auth service", "http://localhost:8081", ["http", "https"]),
  MAIL_URL: url("The mail service", "http://localhost:8083", ["http", "https"]),
  LOGGER_RPC_URL: url("The logger's RPC", "tcp://localhost:5001", ["tcp", "tls"]),
  LOGGER_RPC_TOKEN: secret("What the logger's RPC asks for, if it does"),
  RABBITMQ_URL: secretUrl("RabbitMQ", "amqp://guest:guest@localhost:5672", ["amqp", "amqps"]),
  // The broker declares what it publishes to, so that an event before the first listener is kept too.
  LISTENER_QUEUE: queueField,
  LISTENER_BINDINGS: bindingsField,
  SPOOL_DIR: text("Directory that keeps what nobody behind could take; one broker a directory", ".data/spool"),
  INBOX_URL: optional(url("Page of the development inbox, for a link on the first page", "", ["http", "https"])),
};

export type Config = Values<typeof fields>;
