/** What a service shows, and to whom: the names that it answers to, and its metrics. */
import type { Secret } from "#shared/config";
import { Failure } from "#shared/errors";
import { bearerOf, pathOf, PROBES } from "./request.ts";

/** One `uri-host [":" port]` (RFC 9110 §7.2). Several headers arrive joined by a comma, which no host has here. */
const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9._~!$&'()*+;=%-]+)(:\d{1,5})?$/i;

/** By HTTPS (characters): there, routes are looked for from the 11th character of the URL on. */
const SHORTEST_HOST = 3;

export interface Exposure {
  /** Host names that are answered to, in lower case and without a port; `*.example.com` for all below. Empty: all. */
  readonly hosts: readonly string[];
  /** Whether `/metrics` is there: for all, for nobody, or for who shows this. */
  readonly metrics: "open" | "off" | Secret;
  /** Whether `/ready` says what was wrong last with what is behind, which may name hosts, and its version. */
  readonly lastErrors: boolean;
}

/** To all, by any name. */
export const OPEN: Exposure = { hosts: [], metrics: "open", lastErrors: true };

export interface ExposureConfig {
  readonly ENVIRONMENT: "development" | "production";
  readonly ALLOWED_HOSTS: readonly string[];
  readonly METRICS: "open" | "off" | undefined;
  readonly METRICS_TOKEN: Secret | undefined;
}

/** @param isPublic whether the world reaches this service: in production its metrics are shown only where that is said, and no errors. */
export function exposureOf(
  { ENVIRONMENT, ALLOWED_HOSTS, METRICS, METRICS_TOKEN }: ExposureConfig,
  { isPublic = false } = {},
): Exposure {
  const fallback = isPublic && ENVIRONMENT === "production" ? "off" : "open";
  return {
    hosts: ALLOWED_HOSTS.map((host) => host.toLowerCase()),
    lastErrors: !isPublic || ENVIRONMENT === "development",
    metrics: METRICS === "off" ? "off" : (METRICS_TOKEN ?? METRICS ?? fallback),
  };
}

/**
 * @throws Failure `malformed` unless there is one `Host` that can be one (RFC 9112 §3.2) and is ours. Without, the
 * runtime gives a URL without an origin, in which routes are looked for at the wrong place.
 */
export function checkHost(request: Request, hosts: Exposure["hosts"]): void {
  const header = request.headers.get("host") ?? "";
  const name = HOST.exec(header)?.[1]?.toLowerCase();
  const isLong = header.length >= SHORTEST_HOST || !request.url.startsWith("https");
  if (name === undefined || !isLong || !request.url.startsWith("http")) {
    throw new Failure("malformed", "one valid Host header is needed");
  }
  if (hosts.length === 0 || hosts.some((host) => isOf(name, host))) return;
  if (PROBES.includes(pathOf(request.url))) return;
  throw new Failure("malformed", "this host is not served here");
}

/** Whether `name` is `host`, or below it where that is `*.…`. A dot at the end of a name means nothing (RFC 3986 §3.2.2). */
function isOf(name: string, host: string): boolean {
  const plain = name.replace(/\.$/, "");
  return host.startsWith("*.") ? plain.endsWith(host.slice(1)) && plain.length >= host.length : plain === host;
}

/**
 * Whether this request may read the metrics.
 * @throws Failure `not_found` where there are none to be seen, `unauthenticated` without their token.
 */
export function checkMetrics(request: Request, metrics: Exposure["metrics"]): void {
  if (metrics === "open") return;
  if (metrics === "off") throw new Failure("not_found", "no such route");
  const given = bearerOf(request);
  if (given === undefined || !metrics.is(given)) {
    throw new Failure("unauthenticated", "the token of the metrics is needed");
  }
}
