/** What is counted of events. */
import type { Metrics } from "#shared/telemetry";
import type { EventCounts } from "./store.ts";

export interface EventMetrics {
  told(byType: ReadonlyMap<string, number>): void;
  counted(counts: EventCounts): void;
}

export function makeEventMetrics(metrics: Metrics): EventMetrics {
  const events = metrics.counter("mail_events_total", "Events of mails that RabbitMQ has taken.", ["type"]);
  const waiting = metrics.gauge("mail_events_waiting", "Events of mails that RabbitMQ does not have yet.");
  const oldest = metrics.gauge("mail_events_oldest_seconds", "Age of the oldest of these, 0 without any.");
  return {
    told(byType) {
      for (const [type, count] of byType) events.inc({ type }, count);
    },
    counted(counts) {
      waiting.set(counts.waiting);
      oldest.set(counts.oldestS);
    },
  };
}

/** `host` is the receiver's label: of configuration, so there are few. */
export interface WebhookMetrics {
  /** `refused`: any answer but 2xx. `unanswered`: none came. */
  attempt(host: string, result: "delivered" | "refused" | "unanswered"): void;
  gaveUp(host: string): void;
  waiting(host: string, count: number): void;
}

export function makeWebhookMetrics(metrics: Metrics): WebhookMetrics {
  const attempts = metrics.counter("mail_webhook_attempts_total", "Calls of webhooks, by what came of them.", [
    "host",
    "result",
  ]);
  const gaveUp = metrics.counter("mail_webhooks_given_up_total", "Events that a webhook will never get.", ["host"]);
  const waiting = metrics.gauge("mail_webhooks_waiting", "Events that a webhook has not taken yet.", ["host"]);
  return {
    attempt: (host, result) => attempts.inc({ host, result }),
    gaveUp: (host) => gaveUp.inc({ host }),
    waiting: (host, count) => waiting.set({ host }, count),
  };
}
