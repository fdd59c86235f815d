/**
 * The root of every service's HTTP side: ids, headers, limits, failures as envelopes, metrics, and the three
 * routes that operators ask. A service adds its own routes with `.use(routes(…))`.
 */
import { cors } from "@elysiajs/cors";
import { Elysia } from "elysia";
import type { Envelope } from "#contracts/envelope";
import type { Readiness } from "#contracts/health";
import {
  OVERLOADED_HEADER,
  REQUEST_ID_HEADER,
  SERVICE_KEY_CHALLENGE,
  TIMEOUT_HEADER,
  TRACE_ID_HEADER,
} from "#contracts/headers";
import { Failure, type FailureCode, failureOf } from "#shared/errors";
import type { Runtime } from "#shared/lifecycle";
import { Deadline, REST_CEILING_MS } from "#shared/resilience";
import type { Admission, Callers } from "#shared/service-keys";
import {
  type CallContext,
  type Client,
  idsOf,
  isRecorded,
  preciseNow,
  recordSpan,
  requestIdOf,
  traceFromOutside,
  traceOf,
  untraced,
} from "#shared/telemetry";
import { currentTls } from "#shared/tls";
import { checkLength, type ForeignRoute, readForeign, readJson } from "./body.ts";
import { type AddressedCall, type ClientAddress, makeClientAddress } from "./address.ts";
import { actorFrom, clientFrom } from "./client.ts";
import { arrivedAt } from "./door.ts";
import { checkHost, checkMetrics, type Exposure, OPEN } from "./exposure.ts";
import { changeLevel, levelView } from "./level.ts";
import { CORS_ALLOWED, CORS_EXPOSED, SECURITY_HEADERS } from "./headers.ts";

/** Longest that a body may take to arrive (ms): shorter than a drain, so that whoever sends slowly does not hold one up. */
const BODY_MS = 8_000;

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

interface Call {
  /** For a guard before the door. */
  answered?: (() => void) | undefined;
  context: CallContext;
  /** By what right it is asked; absent until that is known. */
  admission?: Admission;
  /** How it failed, where it did. */
  failed?: FailureCode;
  readonly startedAt: number;
}

/** Outside: who asks is for the routes to find out, and nobody is believed about others. */
const OUTSIDE: Admission = { caller: undefined, believed: false };

const calls = new WeakMap<Request, Call>();

function callOf(request: Request): Call {
  const call = calls.get(request);
  if (call === undefined) throw new Error("not a request of an httpApp");
  return call;
}

/** The context of a request: its id, trace and deadline (the caller's, at most 30 s; over when the client goes away), and its client. */
export function contextOf(request: Request): CallContext {
  return callOf(request).context;
}

/** Whom a request is for: as the service that asks tells (`x-client-address`, `x-client-agent`), else its sender. */
export function clientOf(request: Request): Client {
  return contextOf(request).client ?? { address: "unknown" };
}

/** On whose behalf a request is, for audit entries only: as the service that asks tells (`x-actor`), else that service, else the client's address. */
export function actorOf(request: Request): string {
  return actorFrom(request, clientOf(request), callOf(request).admission ?? OUTSIDE);
}

/** The envelope of a success. */
export function envelope(message: string, data?: unknown): Envelope {
  return data === undefined ? { error: false, message } : { error: false, message, data };
}

/** @param isOutside whoever asks is none of our services. */
function begin(request: Request, isOutside: boolean): Call {
  const asked = Number(request.headers.get(TIMEOUT_HEADER) ?? Number.NaN);
  const ms = asked > 0 ? Math.min(asked, REST_CEILING_MS) : REST_CEILING_MS;
  const traceparent = request.headers.get("traceparent");
  const call: Call = {
    startedAt: performance.now(),
    context: {
      requestId: requestIdOf(request.headers.get(REQUEST_ID_HEADER)),
      trace:
        traceparent === null && isUntold(request)
          ? untraced()
          : (isOutside ? traceFromOutside : traceOf)(traceparent, request.headers.get("tracestate")),
      deadline: Deadline.after(ms, request.signal),
    },
  };
  calls.set(request, call);
  return call;
}

/** Asked by the clock, all day long: a span of each would hide the others. */
const UNTOLD: ReadonlySet<string> = new Set(["/ping", "/ready", "/metrics"]);

/** Whether no span will tell of a request: then it begins no trace that takes another's place among those that are recorded. */
function isUntold({ method, url }: Request): boolean {
  // Of preflights nobody is told the end.
  if (method === "OPTIONS") return true;
  const [path = ""] = url.slice(url.indexOf("/", url.indexOf("//") + 2)).split("?", 1);
  return UNTOLD.has(path);
}

/**
 * Tells of a request that is answered. No address or agent of a client, no query and nothing of a body is in it; paths
 * are the caller's to choose, and told by their routes.
 */
function recordServerSpan({ url }: Request, { context: { trace }, failed, startedAt }: Call, labels: Labels): void {
  if (!isRecorded(trace) || UNTOLD.has(labels.route)) return;
  const method = labels.method === "other" ? "_OTHER" : labels.method;
  const status = Number(labels.status);
  const hasRoute = labels.route !== "none";
  const endedAt = preciseNow();
  recordSpan(trace, {
    name: hasRoute ? `${labels.method} ${labels.route}` : labels.method === "other" ? "HTTP" : labels.method,
    kind: "server",
    startedAt: endedAt - (performance.now() - startedAt),
    endedAt,
    attributes: {
      "http.request.method": method,
      ...(hasRoute ? { "http.route": labels.route } : {}),
      "http.response.status_code": status,
      "url.scheme": url.startsWith("https:") ? "https" : "http",
    },
    // A refusal is the caller's mistake, and no error of this service.
    ...(status >= 500 ? { error: failed ?? String(status) } : {}),
  });
}

interface Labels {
  readonly method: string;
  readonly route: string;
  readonly status: string;
}

/** What Elysia calls an error, as a failure of ours. A body that could not be parsed carries ours as its cause. */
function failureAt(code: string | number, error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof Error && error.cause instanceof Failure) return error.cause;
  if (code === "NOT_FOUND") return new Failure("not_found", "no such route");
  return failureOf(error);
}

export interface HttpOptions {
  /** Paths of POST routes whose body, if any, is ignored rather than read as JSON; all that begin so where one ends in `*`. */
  bodiless?: readonly string[];
  /** Routes with a body and failures by a protocol of their own, by path: their body is a Uint8Array. */
  foreign?: Readonly<Record<string, ForeignRoute>>;
  /** Who may call a service behind, and is believed about clients and actors. Absent: it is open to the outside, where nobody is. */
  callers?: Callers;
  /** Tells who sent a request. Default: the other end of its connection, since no proxy is trusted. */
  clientAddress?: ClientAddress;
  /** Default: to all, by any name. */
  exposure?: Exposure;
  /**
   * Asked for each route that is added, before anything of a body is read, and again before the handler, since a request without a body is seen there only:
   * it remembers whom it has let in. It throws a Failure for whom the route is not.
   * `route` is its path, with the names of its parameters.
   */
  enforce?: (call: Enforced) => Promise<void>;
}

/** What it looks at, and the headers of the refusal. */
export interface Enforced {
  readonly request: Request;
  readonly route: string;
  readonly set: { headers: Record<string, string | number> };
}

/** @throws Failure as `callers` do. */
function admit({ request, server }: AddressedCall, callers: Callers | undefined, clientAddress: ClientAddress): void {
  const call = callOf(request);
  const admission = callers?.admit(request) ?? OUTSIDE;
  call.admission = admission;
  call.context = {
    ...call.context,
    client: clientFrom(request, clientAddress({ request, server }), admission.believed),
  };
}

/** Whether it is the service that asks who was refused, and not whom it asks for: no route has seen the request then. */
function isStranger(request: Request, { code }: Failure): boolean {
  return (code === "unauthenticated" || code === "forbidden") && calls.get(request)?.admission === undefined;
}

/** The Elysia application that a service's routes are added to. */
export function httpApp(
  runtime: Runtime,
  corsOrigins: readonly string[],
  {
    bodiless = [],
    foreign = {},
    callers,
    clientAddress = makeClientAddress(),
    enforce,
    exposure = OPEN,
  }: HttpOptions = {},
) {
  const { log, metrics, health } = runtime;
  const durations = metrics.histogram("http_request_duration_seconds", "Time from the first byte seen to the answer.", [
    "method",
    "route",
    "status",
  ]);
  metrics.gauge("dependency_up", "1 while the dependency answers.", ["dependency"], (gauge) => {
    for (const { name, state } of health.report().dependencies) gauge.set({ dependency: name }, state === "up" ? 1 : 0);
  });

  const isOutside = callers === undefined;
  const secure = currentTls().server !== undefined;
  const isBodiless = (path: string): boolean =>
    bodiless.some((given) => (given.endsWith("*") ? path.startsWith(given.slice(0, -1)) : path === given));
  const foreignAt = (path: string): ForeignRoute | undefined =>
    Object.hasOwn(foreign, path) ? foreign[path] : undefined;
  // Browsers send scheme and host in lower case.
  const allowed = new Set(corsOrigins.map((origin) => origin.toLowerCase()));
  const app = new Elysia({
    normalize: false,
    // Where the path begins: the first slash from the 7th character on, also where the host is shorter than `a.bc`
    // (otherwise `//x/ping` is `/ping`). That one is in `https://`: then from the 11th on, see `checkHost`.
    handler: { standardHostname: secure },
    serve: { maxRequestBodySize: Number.MAX_SAFE_INTEGER, idleTimeout: 60, reusePort: false, development: false },
  })
    .onRequest(({ request, set }) => {
      const { context } = begin(request, isOutside);
      Object.assign(set.headers, SECURITY_HEADERS);
      set.headers[REQUEST_ID_HEADER] = context.requestId;
      set.headers[TRACE_ID_HEADER] = context.trace.traceId;
    })
    .use(
      cors({
        // A predicate: the plugin looks texts up in a plain object, where `constructor` is an origin too (1.4.2).
        origin: allowed.has("*") ? "*" : (request) => allowed.has(request.headers.get("origin") ?? ""),
        credentials: false,
        methods: METHODS,
        allowedHeaders: CORS_ALLOWED,
        exposeHeaders: CORS_EXPOSED,
        maxAge: 600,
      }),
    )
    .onRequest(({ request, server }) => {
      // Here, since a preflight is answered before and nobody is told of its end.
      const call = calls.get(request);
      if (call !== undefined) call.answered = arrivedAt(request, server);
      if (!METHODS.includes(request.method))
        throw new Failure("method_not_allowed", `${request.method} is not allowed`);
      checkHost(request, exposure.hosts);
      admit({ request, server }, callers, clientAddress);
      checkLength(request);
    })
    // `null`, since undefined would hand the body on to Elysia's own parsers, which know no limits.
    .onParse(async ({ request, path, route, set }) => {
      await enforce?.({ request, route, set });
      if (isBodiless(path)) return null;
      // What a DELETE has for a body means nothing (RFC 9110 §9.3.5).
      if (request.method === "DELETE") return null;
      const deadline = contextOf(request).deadline.within(BODY_MS);
      const onLate = (): void => {
        set.headers["connection"] = "close";
      };
      const own = foreignAt(path);
      return own === undefined ? readJson(request, deadline, onLate) : readForeign(request, own, deadline, onLate);
    })
    .onError(({ code, error, request, path, set }) => {
      let failure = failureAt(code, error);
      if (failure.code === "not_found" && code === "NOT_FOUND") {
        const methods = methodsAt(path);
        if (methods.length > 0) {
          set.headers["allow"] = methods.join(", ");
          failure = new Failure(
            "method_not_allowed",
            `${request.method} is not allowed here; allowed: ${methods.join(", ")}`,
          );
        }
      }
      const call = calls.get(request) ?? begin(request, isOutside);
      const { context } = call;
      call.failed = failure.code;
      if (failure.code === "internal") {
        log.error("request failed: this is a bug", { ...idsOf(context), error: failure.cause ?? error });
      } else if (failure.status >= 500) {
        log.warn("request failed", { ...idsOf(context), reason: failure });
      }
      set.status = failure.status;
      if (failure.code === "overloaded") set.headers[OVERLOADED_HEADER] = "true";
      if (path === "/metrics" && failure.code === "unauthenticated") set.headers["www-authenticate"] = "Bearer";
      if (isStranger(request, failure)) set.headers["www-authenticate"] = SERVICE_KEY_CHALLENGE;
      if (failure.retryAfterS !== undefined) {
        const waitS = Math.ceil(failure.retryAfterS);
        set.headers["retry-after"] = String(waitS);
        // The limit that was reached, also where another one has room left.
        const isSaid = String(set.headers["ratelimit"] ?? "").includes(";r=0;");
        if (failure.code === "exhausted" && !isSaid) set.headers["ratelimit"] = `"limit";r=0;t=${waitS}`;
      }
      const own = foreignAt(path);
      if (own === undefined) return { error: true, message: failure.message } satisfies Envelope;
      const { status, type, body } = own.failure(failure, request);
      set.status = status;
      set.headers["content-type"] = type;
      return body;
    })
    .onAfterResponse(({ request, route, set }) => {
      const call = calls.get(request);
      if (call === undefined) return;
      call.answered?.();
      const seconds = (performance.now() - call.startedAt) / 1_000;
      // Only routes that exist become labels: paths are the caller's to choose.
      const labels = {
        method: METHODS.includes(request.method) ? request.method : "other",
        route: route || "none",
        status: String(set.status ?? 200),
      };
      durations.observe(labels, seconds);
      log.debug("request", { ...labels, ...idsOf(call.context), seconds });
      recordServerSpan(request, call, labels);
    })
    .get("/ping", () => "OK")
    .get("/ready", ({ set }) => {
      const { ready, stopping, dependencies: all, backlog, started_at } = health.report();
      const dependencies = exposure.lastErrors ? all : all.map(({ last_error: _hidden, ...shown }) => shown);
      const data: Readiness = {
        dependencies,
        ...(backlog.length === 0 ? {} : { backlog }),
        started_at,
        ...(exposure.lastErrors ? { version: runtime.version } : {}),
      };
      set.status = ready ? 200 : 503;
      const message = ready ? "ready" : stopping ? "stopping" : "not ready";
      return { error: !ready, message, data } satisfies Envelope;
    })
    .get("/metrics", async ({ request, set }) => {
      // What is asked of the others is none of the broker's, which shows them to whoever may see the platform.
      if (callOf(request).admission?.caller === undefined) checkMetrics(request, exposure.metrics);
      set.headers["content-type"] = metrics.contentType;
      return metrics.text();
    });

  /** Methods of the routes that a path matches, for 405 and its `Allow` (RFC 9110 §15.5.6). */
  function methodsAt(path: string): string[] {
    const segments = path.split("/");
    const found = app.routes.filter((route) => {
      const pattern = route.path.split("/");
      const rest = pattern.at(-1) === "*";
      if (rest ? segments.length < pattern.length : segments.length !== pattern.length) return false;
      return pattern.every((part, index) => {
        const segment = segments[index];
        return part === "*" || part === segment || (part.startsWith(":") && segment !== "");
      });
    });
    const methods = new Set(
      found.map((route) => route.method).filter((method) => METHODS.includes(method) && method !== "OPTIONS"),
    );
    if (methods.has("GET")) methods.add("HEAD");
    return [...methods].sort();
  }

  // Of a service behind, for the broker: it asks all of them (`/v1/log-levels`).
  if (callers !== undefined) {
    app.get("/log-level", () => envelope("the level of the log", levelView(log)));
    app.put("/log-level", ({ request, body }) =>
      envelope("the level of the log is changed", changeLevel(log, body, actorOf(request))),
    );
  }

  // Of the routes that come after it: those without a body come here first.
  if (enforce !== undefined) app.onBeforeHandle(({ request, route, set }) => enforce({ request, route, set }));

  return app;
}

export type HttpApp = ReturnType<typeof httpApp>;
