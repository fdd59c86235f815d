/** Variables that whoever declares the topology has to read alike. */
import { LOGS_QUEUE, routingKeyOf } from "#contracts/events";
import { SEVERITIES } from "#contracts/logs";
import { list, text } from "#shared/config";

/** Queue of events; set as LISTENER_QUEUE. */
export const queueField = text(
  "Queue of events; set it as LISTENER_QUEUE",
  LOGS_QUEUE,
  /^(?!amq\.)[\x21-\x7e]{1,200}$/,
  "a queue's name of 1 to 200 characters",
);

/** Routing keys that it gets; set as LISTENER_BINDINGS. */
export const bindingsField = list(
  "Routing keys of logs_topic that the queue gets; set it as LISTENER_BINDINGS",
  SEVERITIES.map(routingKeyOf).join(","),
  /^[\x21-\x7e]{1,200}$/,
  "a comma-separated list of routing keys",
);
