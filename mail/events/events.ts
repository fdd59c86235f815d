/** What becomes of mails is told to others: to RabbitMQ, and to webhooks where there are any. See docs/mail-events.md. */
import { MAIL_EXCHANGE } from "#contracts/mail";
import { makePublisher } from "#shared/amqp";
import type { Secret } from "#shared/config";
import type { Result } from "#shared/errors";
import type { Health } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import type { Database } from "#shared/postgres";
import type { Metrics } from "#shared/telemetry";
import { WEBHOOK_SCHEDULE_MS } from "./fate.ts";
import { makePost } from "./post.ts";
import { startRelay } from "./relay.ts";
import { makeEventStore } from "./store.ts";
import { keyBytesOf, type Target } from "./targets.ts";
import { makeWebhookStore } from "./webhook-store.ts";
import { startWebhooks } from "./webhooks.ts";

const WEBHOOK_TIMEOUT_MS = 10_000;

export interface EventsOptions {
  readonly database: Database;
  readonly rabbitmqUrl: Secret;
  readonly targets: readonly Target[];
  /** Of the webhooks' signatures, as the configuration has checked them. */
  readonly keys: readonly Secret[];
  /** Types of events that webhooks get. */
  readonly types: readonly string[];
  readonly log: Log;
  readonly metrics: Metrics;
  readonly health: Health;
  /** How often events are looked for that nobody woke us for (ms; default 1,000): of other replicas, and decided by hand. */
  readonly pollMs?: number;
  /** Default MAIL_EXCHANGE. */
  readonly exchange?: string;
  /** Waits between the tries of a webhook (ms; default WEBHOOK_SCHEDULE_MS). */
  readonly scheduleMs?: readonly number[];
  /** Longest call of a webhook (ms; default 10,000). */
  readonly timeoutMs?: number;
}

export interface Events extends AsyncDisposable {
  /** There may be something to tell. */
  wake(): void;
}

/** What the database refuses is a bug of ours, and nobody waits for an answer in which it would show. */
function withBugsLogged(database: Database, log: Log): Pick<Database, "query" | "transaction"> {
  const told = <T>(result: Result<T>): Result<T> => {
    if (!result.ok && result.error.code === "internal") {
      log.error("events: a statement failed: this is a bug", { error: result.error });
    }
    return result;
  };
  return {
    query: async (work, options) => told(await database.query(work, options)),
    transaction: async (work, options) => told(await database.transaction(work, options)),
  };
}

/**
 * Begins to tell. Neither RabbitMQ nor a receiver is needed for the service to be ready.
 * @returns disposing finishes what is in hand, within about 2 s; the rest waits in PostgreSQL.
 */
export function startEvents(options: EventsOptions): Events {
  const { targets, log, metrics, health, pollMs = 1_000, exchange = MAIL_EXCHANGE } = options;
  const database = withBugsLogged(options.database, log);
  const publisher = makePublisher({
    url: options.rabbitmqUrl,
    name: "mail publish",
    log,
    metrics,
    dependency: health.dependency("rabbitmq", { required: false }),
    topology: { exchanges: [{ name: exchange, type: "topic" }], queues: [] },
  });
  const last = targets.length === 0;
  const relay = startRelay({ store: makeEventStore(database), publisher, exchange, last, log, metrics, pollMs });
  const webhooks = last
    ? undefined
    : startWebhooks({
        store: makeWebhookStore(database),
        post: makePost(keyBytesOf(options.keys)),
        targets,
        types: options.types,
        log,
        metrics,
        health,
        scheduleMs: options.scheduleMs ?? WEBHOOK_SCHEDULE_MS,
        timeoutMs: options.timeoutMs ?? WEBHOOK_TIMEOUT_MS,
        pollMs,
      });
  return {
    wake() {
      relay.wake();
      webhooks?.wake();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([relay[Symbol.asyncDispose](), webhooks?.[Symbol.asyncDispose]()]);
      await publisher[Symbol.asyncDispose]();
    },
  };
}
