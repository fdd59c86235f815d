/** The metric of requests to other services, by who was asked: `http_client_request_duration_seconds{peer,status}`. */
import type { Metrics } from "#shared/telemetry";

/** Of a request that was not answered, in place of its status. */
const UNANSWERED = "none";

/** Counts one request to an instance. @param status undefined where there was no answer. */
export type CountCall = (status: number | undefined, tookMs: number) => void;

const made = new WeakMap<Metrics, ReturnType<typeof register>>();

function register(metrics: Metrics) {
  return metrics.histogram(
    "http_client_request_duration_seconds",
    "Time of a request to another service, until its answer or until it was given up.",
    ["peer", "status"],
  );
}

/**
 * One histogram for all clients of a process, since a metric can be registered once.
 * @param name the service that is called, as in messages: `the mail service` is the peer `mail`.
 */
export function countCalls(metrics: Metrics, name: string): CountCall {
  const seconds = made.get(metrics) ?? register(metrics);
  made.set(metrics, seconds);
  const peer = name.replace(/^the /, "").replace(/ service$/, "");
  return (status, tookMs) => seconds.observe({ peer, status: String(status ?? UNANSWERED) }, tookMs / 1_000);
}
