/** Names and arguments of what stands in RabbitMQ. Every part that declares something declares it from here. */
import { type Static, Type } from "@sinclair/typebox";
import { LogName, SEVERITIES, type Severity } from "./logs.ts";

/** Topic exchange of events; routing keys `log.INFO`, `log.WARNING`, `log.ERROR`. */
export const LOGS_EXCHANGE = "logs_topic";
export const LOGS_QUEUE = "logs.main.v1";
export const LOGS_DEAD_LETTER_EXCHANGE = "logs.dlx";
export const LOGS_DEAD_LETTER_QUEUE = "logs.dlq.v1";

/** Direct exchange of jobs: work that is done once a part is back. */
export const JOBS_EXCHANGE = "jobs";
/** A mail for the mail service, which was away. */
export const MAIL_JOBS_KEY = "mail";
export const MAIL_JOBS_QUEUE = "jobs.mail.v1";
export const JOBS_DEAD_LETTER_EXCHANGE = "jobs.dlx";
export const JOBS_DEAD_LETTER_QUEUE = "jobs.dlq.v1";

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
/** When the entry was accepted (RFC 3339): older than the message where it waited in a spool. */
export const HEADER_CREATED_AT = "x-created-at";
