/** Calls to another service's JSON API: id, trace and time left go along, and every outcome is a `Result`. */
import { Envelope } from "#contracts/envelope";
import {
  CLIENT_ADDRESS_HEADER,
  CLIENT_AGENT_HEADER,
  OVERLOADED_HEADER,
  REPLAYED_HEADER,
  REQUEST_ID_HEADER,
  SERVICE_KEY_CHALLENGE,
  SERVICE_KEY_HEADER,
  TIMEOUT_HEADER,
} from "#contracts/headers";
import type { Secret } from "#shared/config";
import { atSome, type Endpoint, fetchAt, fixed, makePool, type Pool } from "#shared/discovery";
import { FAILURES, Failure, type FailureCode, fail, ok, type Result } from "#shared/errors";
import { silentLog } from "#shared/log";
import { type CallContext, type Metrics, traceHeaders } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import { countCalls } from "./calls.ts";
import { asClient, noteStatus } from "./spans.ts";

export { asClient, noteStatus } from "./spans.ts";

/** Time that an answer needs on its way back (ms): taken from what the callee is told. */
const MARGIN_MS = 10;
const MAX_ANSWER_BYTES = 8 * 1_048_576;

export interface Answer {
  readonly status: number;
  readonly envelope: Envelope;
  /** Seconds, where the answer has `Retry-After` in that form. */
  readonly retryAfterS: number | undefined;
  /** A 503 of a service that is well (`X-Overloaded`). */
  readonly overloaded: boolean;
  /** The same request was answered before (`Idempotent-Replayed`). */
  readonly replayed: boolean;
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface JsonClient {
  /**
   * Any answer that is an envelope is a success here, whatever its status: what it means is the caller's to decide.
   * @returns failure `unavailable` (no connection, or lost: a POST may have been done), `deadline`, `bad_gateway` (an answer off the contract).
   */
  request(
    method: Method,
    path: string,
    body: unknown,
    context: CallContext,
    headers?: Record<string, string>,
  ): Promise<Result<Answer>>;
}

const envelopeOf = makeValidator(Envelope, { name: "answer" });

export interface JsonClientOptions {
  /** Shows the other service who is calling (SERVICE_KEY). */
  readonly key?: Secret | undefined;
  /** Where its requests are counted and timed. Default: nowhere. */
  readonly metrics?: Metrics;
}

/**
 * A request that reached nobody goes to another instance at once, and so does a GET whose instance was lost on the way.
 * @param name the service that is called, for messages.
 * @param to its instances, or the URL of the only one, without a slash at its end.
 */
export function makeJsonClient(name: string, to: string | Pool, { key, metrics }: JsonClientOptions = {}): JsonClient {
  const shown = serviceKeyHeaders(key);
  const count = metrics === undefined ? undefined : countCalls(metrics, name);
  const pool = typeof to === "string" ? makePool({ service: name, source: fixed([to]), log: silentLog }) : to;

  const once = (
    endpoint: Endpoint,
    ...[method, path, body, outer, headers = {}]: Parameters<JsonClient["request"]>
  ): Promise<Result<Answer>> =>
    asClient({ name, method, baseUrl: endpoint.url }, outer, async (context, span) => {
      const remainingMs = context.deadline.remainingMs() - MARGIN_MS;
      if (remainingMs <= 0) return fail("deadline", `no time left to call ${name}`);
      const startedAt = performance.now();
      let status: number | undefined;
      try {
        const response = await fetchAt(endpoint, path, {
          method,
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          headers: {
            ...(body === undefined ? {} : { "content-type": "application/json" }),
            ...traceHeaders(context.trace),
            [REQUEST_ID_HEADER]: context.requestId,
            [TIMEOUT_HEADER]: String(remainingMs),
            ...clientHeaders(context),
            ...headers,
            ...shown,
          },
          // On a connection that is in use already the runtime sends these twice when it is reset meanwhile.
          ...(method === "PUT" || method === "PATCH" ? { keepalive: false } : {}),
          // A redirect is no answer of ours: it is looked at, and not followed with the caller's headers.
          redirect: "manual",
          signal: context.deadline.signal,
        });
        noteStatus(span, response.status);
        const answer = await answerOf(response, name);
        status = response.status;
        return answer;
      } catch (cause) {
        if (context.deadline.passed) return fail("deadline", `${name} took too long`, { cause });
        return fail("unavailable", `${name} is not reachable`, { cause });
      } finally {
        count?.(status, performance.now() - startedAt);
      }
    });

  return {
    request(...call) {
      const [method, , , { deadline }] = call;
      const options = { remainingMs: () => deadline.remainingMs(), isRepeatable: method === "GET", isSick };
      return atSome(pool, options, (endpoint) => once(endpoint, ...call));
    },
  };
}

/** Whether an answer says of who gave it that he is not well: of one of several, that another one is to be asked. */
function isSick({ status, overloaded }: Answer): boolean {
  return status >= 500 && !overloaded;
}

/** A client of exactly this instance. */
export function clientOfOne(name: string, endpoint: Endpoint, options: JsonClientOptions = {}): JsonClient {
  return makeJsonClient(name, makePool({ service: name, source: fixed([endpoint]), log: silentLog }), options);
}

/** What a service sends with a call to another of ours. */
export function serviceKeyHeaders(key: Secret | undefined): Record<string, string> {
  return key === undefined ? {} : { [SERVICE_KEY_HEADER]: key.reveal() };
}

/** Whether a service refused who called it, rather than whom it called for: a mistake in our own configuration. */
function isKeyRefused(response: Response): boolean {
  return response.headers.get("www-authenticate") === SERVICE_KEY_CHALLENGE;
}

function clientHeaders({ client }: CallContext): Record<string, string> {
  if (client === undefined) return {};
  return {
    [CLIENT_ADDRESS_HEADER]: client.address,
    ...(client.agent === undefined ? {} : { [CLIENT_AGENT_HEADER]: client.agent }),
  };
}

async function answerOf(response: Response, name: string): Promise<Result<Answer>> {
  const { status } = response;
  if (Number(response.headers.get("content-length") ?? 0) > MAX_ANSWER_BYTES) {
    await response.body?.cancel();
    return fail("bad_gateway", `${name} answered with too much`);
  }
  if (isKeyRefused(response)) {
    await response.body?.cancel();
    return fail("bad_gateway", `${name} refused this service`, { cause: `status ${status}: see SERVICE_KEY` });
  }
  const text = await response.text();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return fail("bad_gateway", `${name} answered ${status} with what is not JSON`, { cause });
  }
  const checked = envelopeOf(value);
  if (!checked.ok) return fail("bad_gateway", `${name} answered off its contract`, { cause: checked.error });
  const after = Number(response.headers.get("retry-after") ?? Number.NaN);
  return ok({
    status,
    envelope: checked.value,
    retryAfterS: Number.isNaN(after) ? undefined : after,
    overloaded: status === 503 && response.headers.get(OVERLOADED_HEADER) === "true",
    replayed: response.headers.get(REPLAYED_HEADER) === "true",
  });
}

/** The failure that another service's refusal stands for, in its own words; `bad_gateway` for what is a fault of its own. */
export function failureOfAnswer({ status, envelope, retryAfterS, overloaded }: Answer): Failure {
  const options = retryAfterS === undefined ? {} : { retryAfterS };
  const code = (Object.keys(FAILURES) as FailureCode[]).find((candidate) => FAILURES[candidate].http === status);
  if (overloaded) return new Failure("overloaded", envelope.message, options);
  if (code === undefined || code === "internal")
    return new Failure("bad_gateway", undefined, { cause: `status ${status}` });
  return new Failure(code, envelope.message, options);
}
