/** How often one caller may ask: counted before anything of a request's body is read. Decides nothing about who he is. */
import { createHash } from "node:crypto";
import { API_KEY_HEADER } from "#contracts/headers";
import { Failure } from "#shared/errors";
import { addressGroup, bearerOf, clientOf, pathOf, PROBES } from "#shared/http";
import {
  type Count,
  type Limiter,
  type LimitRule,
  parseLimits,
  policyHeader,
  ruleFits,
  stateHeader,
} from "#shared/limits";
import type { Metrics } from "#shared/telemetry";

/** Whoever watches us asks as often as he likes. */
export const UNLIMITED: ReadonlySet<string> = new Set(PROBES);

/** In production, unless `RATE_LIMITS` says otherwise: what tries a password, makes a user or sends a mail is dear. */
const PRODUCTION =
  "*=200/s,POST /v1/sessions=60/min,PUT /v1/me/password=30/h,POST /v1/users=30/h,POST /v1/email-verifications=30/h,POST /v1/password-resets=30/h,POST /v1/api-keys=120/h";

export interface LimitsConfig {
  readonly ENVIRONMENT: "development" | "production";
  readonly RATE_LIMITS: readonly LimitRule[] | undefined;
}

export function limitRulesOf({ ENVIRONMENT, RATE_LIMITS }: LimitsConfig): readonly LimitRule[] {
  return RATE_LIMITS ?? (ENVIRONMENT === "production" ? (parseLimits(PRODUCTION) ?? []) : []);
}

/** What of a hook's context is read and written. */
interface Hooked {
  readonly request: Request;
  readonly set: { readonly headers: Record<string, unknown> };
}

export interface RequestLimitsOptions {
  readonly rules: readonly LimitRule[];
  readonly limiter: Limiter;
  readonly metrics: Metrics;
}

/**
 * Every rule that fits a request counts it once for its client's address (IPv6: the /64) and once for each credential
 * that it has: whether it is any good is found out later, by others. So a credential is no way around the limit of
 * an address, and one that is shared is one caller.
 * @returns for `onRequest`. @throws Failure `exhausted` with the time to wait.
 */
export function makeRequestLimits({ rules, limiter, metrics }: RequestLimitsOptions): (call: Hooked) => Promise<void> {
  const refused = metrics.counter(
    "rate_limited_requests_total",
    "Requests that were refused with 429 by a rate limit.",
    ["rule"],
  );

  return async ({ request, set }) => {
    const path = pathOf(request.url);
    // A preflight is the browser's, and its refusal nothing that a page could read.
    if (UNLIMITED.has(path) || request.method === "OPTIONS") return;
    const fitting = rules.filter((rule) => ruleFits(rule, request.method, path));
    if (fitting.length === 0) return;
    const callers = callersOf(request);
    const counts = fitting.flatMap((limit) => callers.map((key): Count => ({ name: limit.name, key, limit })));
    const { admitted, nearest } = await limiter.admit(counts);
    if (nearest === undefined) return;
    set.headers["ratelimit-policy"] = policyHeader(fitting);
    set.headers["ratelimit"] = stateHeader(nearest.name, nearest.remaining, nearest.resetS);
    if (admitted) return;
    refused.inc({ rule: nearest.name });
    throw new Failure("exhausted", "too many requests: try again later", { retryAfterS: Math.max(1, nearest.resetS) });
  };
}

function callersOf(request: Request): string[] {
  const callers = [`address:${addressGroup(clientOf(request).address)}`];
  // A token however its scheme is spelt, and a key whatever is beside it.
  const token = bearerOf(request) ?? request.headers.get("authorization");
  for (const credential of [token, request.headers.get(API_KEY_HEADER)]) {
    if (credential === null) continue;
    // A hash: what is counted is in Redis and in memory for a while.
    callers.push(`credential:${createHash("sha256").update(credential).digest("base64url").slice(0, 22)}`);
  }
  return callers;
}
