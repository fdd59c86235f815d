/** Names and arguments of what stands in RabbitMQ. Every part that declares something declares it from here. */
import { type Static, Type } from "@sinclair/typebox";
import { LogName, SEVERITIES, type Severity } from "./logs.ts";

/** Topic exchange of events; routing keys `log.INFO`, `log.WARNING`, `log.ERROR`. */
export const LOGS_EXCHANGE = "logs_topic";
export const LOGS_QUEUE = "logs.main.v1";
export const LOGS_DEAD_LETTER_EXCHANGE = "logs.dlx";
export const LOGS_DEAD_LETTER_QUEUE = "logs.dlq.v1";

/** Takes what no queue of `logs_topic` wanted (fanout), where a policy makes it the alternate exchange. */
export const UNROUTED_EXCHANGE = "logs.unrouted";
export const UNROUTED_QUEUE = "logs.unrouted.v1";

/** Direct exchange of jobs: work that is done in the background. The routing key is the job's name. */
export const JOBS_EXCHANGE = "jobs";
/** A mail for the mail service, which was away. */
export const MAIL_JOB = "mail";
/** Every kind of job has a queue of its own, so that one whose neighbour is away holds up no other. */
export const jobQueueOf = (name: string): string => `jobs.${name}.v1`;
export const JOBS_DEAD_LETTER_EXCHANGE = "jobs.dlx";
export const JOBS_DEAD_LETTER_QUEUE = "jobs.dlq.v1";

/** Topic exchange to the delay queues; routing key `<tier>.<queue to come back to>`. */
export const RETRY_EXCHANGE = "retry";
/** Topic exchange from the delay queues back to the queues of work, under the same key. */
export const RETURN_EXCHANGE = "return";
export interface RetryTier {
  readonly name: string;
  readonly ms: number;
}
/** Waits after the first, second, … failure that is the message's own; after the last one it is dead-lettered. */
export const RETRY_TIERS: readonly RetryTier[] = [
  { name: "5s", ms: 5_000 },
  { name: "30s", ms: 30_000 },
  { name: "5m", ms: 300_000 },
  { name: "30m", ms: 1_800_000 },
];
export const retryQueueOf = (tier: RetryTier): string => `retry.${tier.name}.v1`;

export const routingKeyOf = (severity: Severity): string => `log.${severity}`;
/** The severity that a routing key names; INFO for a key of another form. */
export const severityOf = (routingKey: string): Severity =>
  SEVERITIES.find((severity) => routingKey === `log.${severity}`) ?? "INFO";

/** Body of an event. Fields that are not known are ignored. */
export const LogEvent = Type.Object({ name: LogName, data: Type.Unknown() });
export type LogEvent = Static<typeof LogEvent>;

/** Why a message was dead-lettered, in words. */
export const HEADER_ERROR = "x-error";
/** The routing key under which a message came, kept when it is moved. */
export const HEADER_ROUTING_KEY = "x-original-routing-key";
/** The exchange that a message was published to, kept when it is moved. */
export const HEADER_EXCHANGE = "x-original-exchange";
/** When the entry was accepted (RFC 3339): older than the message where it waited in a spool. */
export const HEADER_CREATED_AT = "x-created-at";
/** How often handling the message has failed for a reason of its own (number); absent: never. */
export const HEADER_ATTEMPT = "x-attempt";
/** When handling the message failed the last time (RFC 3339). */
export const HEADER_FAILED_AT = "x-failed-at";
/** Who numbered the event (text), its number there (from 1), and numbers that were given to nothing (list). */
export const HEADER_PRODUCER = "x-producer";
export const HEADER_SEQUENCE = "x-sequence";
export const HEADER_VOIDED = "x-voided";
/** Who sent a dead letter once more. */
export const HEADER_REPLAYED_BY = "x-replayed-by";
/** Topic exchange that entries are published to again, for whoever rebuilds something from them. */
export const REPLAY_EXCHANGE = "logs_replay";
/** Which replay a message is of (its id), and when it was published again (RFC 3339). Absent on what happens now. */
export const HEADER_REPLAY = "x-replay";
export const HEADER_REPLAYED_AT = "x-replayed-at";
