/**
 * Sees to it that what no queue of the event exchange wants is kept: RabbitMQ fixes an exchange's own arguments when it
 * is declared, and others may have declared it long ago, so its alternate exchange is set by a policy, through
 * RabbitMQ's management API. Without it such an event is refused to a publisher that asks (`mandatory`), and dropped otherwise.
 */
import type { Topology } from "#shared/amqp";
import type { Secret } from "#shared/config";
import { fail, messageOf, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { type Backoff, exponential, pause } from "#shared/resilience";
import { outgoingTls } from "#shared/tls";

/** Longest for one answer (ms). */
const ANSWER_MS = 5_000;
/** Away, it comes back; there is no end to it, since an event that is lost is lost for ever. */
const usualBackoff = exponential({ firstMs: 1_000, maxMs: 60_000 });
const LOOK_AGAIN_MS = 300_000;
const NAME = "platform-unrouted";

export interface UnroutedOptions {
  /** Of the management API, with user and password in it. */
  readonly managementUrl: Secret;
  /** Of AMQP: its path is the virtual host. */
  readonly rabbitmqUrl: Secret;
  readonly topology: Topology;
  /** Put before the policy's name as before all others. */
  readonly prefix: string;
  readonly log: Log;
  readonly backoff?: Backoff;
}

/** What came of it: ours is there, another one has that place, or we may not. */
export type PolicyOutcome = "set" | "there" | "other" | "forbidden";

interface Policy {
  readonly name: string;
  readonly pattern: string;
  readonly "apply-to": string;
  readonly definition: Readonly<Record<string, unknown>>;
  readonly priority?: number;
}

/**
 * Sets the policy, and looks after it until `signal` fires: a RabbitMQ that was set up anew has none.
 * Ends by itself where it is not ours to set.
 */
export async function keepUnrouted(options: UnroutedOptions, signal: AbortSignal): Promise<void> {
  const { log, backoff = usualBackoff } = options;
  let failures = 0;
  while (!signal.aborted) {
    const result = await ensurePolicy(options, signal);
    if (result.ok) {
      if (result.value === "other" || result.value === "forbidden") return;
      failures = 0;
      await pause(LOOK_AGAIN_MS, signal);
    } else if (!signal.aborted) {
      const waitMs = backoff(failures);
      const level = failures === 0 ? "warn" : "debug";
      log[level](
        "RabbitMQ's management does not do as asked: whether events that no queue wants are kept is not known",
        {
          reason: messageOf(result.error),
          wait_ms: Math.round(waitMs),
        },
      );
      failures += 1;
      await pause(waitMs, signal);
    }
  }
}

/** One try. @returns failure `unavailable`: it does not answer, or not as it should. */
export async function ensurePolicy(options: UnroutedOptions, signal: AbortSignal): Promise<Result<PolicyOutcome>> {
  const { topology, prefix, log } = options;
  const { exchange } = topology.logs;
  const wanted: Policy = {
    name: `${prefix}${NAME}`,
    pattern: `^${exchange.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)}$`,
    "apply-to": "exchanges",
    definition: { "alternate-exchange": topology.unrouted.exchange },
    priority: 0,
  };
  const listed = await ask(options, "GET", "", undefined, signal);
  if (!listed.ok) return listed;
  if (listed.value === "forbidden") return forbidden(log);
  const policies = (Array.isArray(listed.value) ? listed.value : []) as Policy[];
  const other = policies.find((policy) => policy.name !== wanted.name && isAbout(policy, exchange));
  if (other !== undefined) {
    // One policy at a time is in force for an exchange: ours could take its place, and what it does would end.
    const keeps = other.definition["alternate-exchange"];
    if (typeof keeps === "string")
      log.info("events that no queue wants go where another policy says", { policy: other.name, keeps });
    else
      log.warn(
        `another policy is in force for ${exchange}: add "alternate-exchange": "${topology.unrouted.exchange}" to it, or events that no queue wants are not kept`,
        { policy: other.name },
      );
    return ok("other");
  }
  const ours = policies.find(({ name }) => name === wanted.name);
  if (ours !== undefined && isSame(ours, wanted)) return ok("there");
  const { name, ...body } = wanted;
  const put = await ask(options, "PUT", `/${encodeURIComponent(name)}`, body, signal);
  if (!put.ok) return put;
  if (put.value === "forbidden") return forbidden(log);
  log.info("events that no queue wants are kept", { queue: topology.unrouted.queue, policy: name });
  return ok("set");
}

function forbidden(log: Log): Result<PolicyOutcome> {
  log.warn("the user of RABBITMQ_MANAGEMENT_URL may not set policies: events that no queue wants are not kept");
  return ok("forbidden");
}

function isSame(a: Policy, b: Policy): boolean {
  const target = "alternate-exchange";
  return a.pattern === b.pattern && a["apply-to"] === b["apply-to"] && a.definition[target] === b.definition[target];
}

function isAbout(policy: Policy, exchange: string): boolean {
  if (policy["apply-to"] !== "exchanges" && policy["apply-to"] !== "all") return false;
  try {
    return new RegExp(policy.pattern).test(exchange);
  } catch {
    // Erlang's expressions know more than ours: to be on the safe side it counts.
    return true;
  }
}

/** @returns the answer's JSON (undefined without one), or `forbidden`. */
async function ask(
  { managementUrl, rabbitmqUrl }: UnroutedOptions,
  method: "GET" | "PUT",
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Result<unknown>> {
  const url = new URL(managementUrl.reveal());
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  url.username = "";
  url.password = "";
  const base = url.href.replace(/\/+$/, "");
  try {
    const answer = await fetch(`${base}/api/policies/${encodeURIComponent(virtualHostOf(rabbitmqUrl))}${path}`, {
      method,
      headers: {
        authorization: `Basic ${Buffer.from(credentials).toString("base64")}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: "manual",
      ...outgoingTls(),
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    });
    const text = await answer.text();
    if (answer.status === 401 || answer.status === 403) return ok("forbidden");
    if (!answer.ok) return fail("unavailable", `RabbitMQ's management answered ${answer.status}`);
    return ok(text === "" ? undefined : (JSON.parse(text) as unknown));
  } catch (cause) {
    return fail("unavailable", "RabbitMQ's management is not reachable", { cause });
  }
}

/** The path of an AMQP URL (https://www.rabbitmq.com/docs/uri-spec): none is `/`, too, as amqplib takes it. */
function virtualHostOf(rabbitmqUrl: Secret): string {
  const { pathname } = new URL(rabbitmqUrl.reveal());
  return pathname.length <= 1 ? "/" : decodeURIComponent(pathname.slice(1));
}
