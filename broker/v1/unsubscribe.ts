/**
 * The links in bulk mails (RFC 8058): open to whoever has one, answered as the mail service answers. Translates only.
 *
 * Who asks is a recipient's browser or his mail program: of the request nothing goes on but method, token and whether a page
 * is wanted; of the answer nothing comes back but status, page and that page's policy. Every other header is ours.
 */
import { Elysia } from "elysia";
import { REQUEST_ID_HEADER, TIMEOUT_HEADER } from "#contracts/headers";
import { asClient, noteStatus, serviceKeyHeaders } from "#shared/client";
import type { Secret } from "#shared/config";
import { atSome, type Endpoint, fetchAt, type Pool } from "#shared/discovery";
import { Failure, fail, ok, type Result } from "#shared/errors";
import { contextOf } from "#shared/http";
import type { Edge } from "#shared/resilience";
import { type CallContext, overEdge, type Span, traceHeaders } from "#shared/telemetry";
import { isAway } from "../handle.ts";
import type { Settable } from "../marks.ts";

/** What the mail service puts into its links; longer ones are not its own, and dots alone would be another path. */
const TOKEN = /^(?!\.\.?$)[\w.~-]{1,1024}$/;
/** Answers that say something of the token. */
const HANDED_ON: ReadonlySet<number> = new Set([200, 404, 410, 422]);
const TYPES = /^(text\/html|text\/plain|application\/json)\s*(;|$)/i;
const MAX_BYTES = 131_072;
const RETRY_AFTER_S = 5;

const HTML = "text/html; charset=utf-8";
const AWAY_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Try again in a moment</title>
<h1>Try again in a moment</h1>
<p>You were not unsubscribed yet: we could not look up this link. Please open it again in a minute.</p>
</html>
`;

/** What the mail service answers. */
interface Page {
  readonly status: number;
  readonly type: string;
  readonly policy: string | null;
  readonly body: string;
}

interface PageRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly accept: string;
  /** Who is asking. */
  readonly shown: Record<string, string>;
}

export interface UnsubscribeOptions {
  readonly mail: Pool;
  /** Shows the mail service who is asking. */
  readonly key: Secret | undefined;
  readonly edge: Edge;
}

export function unsubscribeRoutes({ mail, key, edge }: UnsubscribeOptions) {
  const answer = (method: "GET" | "POST") => {
    return async (call: { params: { token: string }; request: Request; set: Settable }): Promise<unknown> => {
      const { params, request, set } = call;
      if (!TOKEN.test(params.token)) throw new Failure("not_found", "no such link");
      const context = contextOf(request);
      const accept = (request.headers.get("accept") ?? "").includes("text/html") ? "text/html" : "application/json";
      const path = `/unsubscribe/${params.token}`;
      const options = { isRepeatable: method === "GET" };
      const page = await overEdge(edge, context, (inner) =>
        atSome(mail, { ...options, remainingMs: () => inner.deadline.remainingMs() }, (endpoint) =>
          // The token is a secret: no span has its path.
          asClient({ name: "the mail service", method, baseUrl: endpoint.url }, inner, (sent, span) =>
            pageOf(endpoint, { method, path, accept, shown: serviceKeyHeaders(key) }, sent, span),
          ),
        ),
      );
      if (page.ok) return shown(page.value, set);
      const retryAfterS = page.error.retryAfterS ?? RETRY_AFTER_S;
      // A person reads this one.
      if (isAway(page.error) && accept === "text/html") {
        set.headers["retry-after"] = String(Math.ceil(retryAfterS));
        return shown({ status: page.error.status, type: HTML, policy: null, body: AWAY_PAGE }, set);
      }
      throw new Failure(page.error.code, "try again later", { cause: page.error, retryAfterS });
    };
  };
  return new Elysia({ name: "broker.unsubscribe", prefix: "/v1" })
    .get("/unsubscribe/:token", answer("GET"))
    .post("/unsubscribe/:token", answer("POST"));
}

function shown({ status, type, policy, body }: Page, set: Settable): string {
  set.status = status;
  set.headers["content-type"] = type;
  // Without one of its own it gets the one of an API: no script, no style, no form.
  if (policy !== null) set.headers["content-security-policy"] = policy;
  return body;
}

/** @returns failure `unavailable`, `deadline`, `bad_gateway` for what is no answer to a link, a redirect among it. */
async function pageOf(
  endpoint: Endpoint,
  { method, path, accept, shown }: PageRequest,
  context: CallContext,
  span: Span,
): Promise<Result<Page>> {
  const { deadline, requestId, trace } = context;
  try {
    const response = await fetchAt(endpoint, path, {
      method,
      headers: {
        accept,
        ...traceHeaders(trace),
        [REQUEST_ID_HEADER]: requestId,
        [TIMEOUT_HEADER]: String(Math.max(1, deadline.remainingMs())),
        ...shown,
      },
      redirect: "manual",
      signal: deadline.signal,
    });
    const { status, headers } = response;
    noteStatus(span, status);
    const type = headers.get("content-type") ?? "";
    if (!HANDED_ON.has(status) || !TYPES.test(type)) {
      await response.body?.cancel();
      return fail(status === 503 ? "unavailable" : "bad_gateway", undefined, { cause: `status ${status}, ${type}` });
    }
    const body = await response.text();
    if (body.length > MAX_BYTES) return fail("bad_gateway", undefined, { cause: "the page is too long" });
    return ok({ status, type, policy: headers.get("content-security-policy"), body });
  } catch (cause) {
    if (deadline.passed) return fail("deadline", "the mail service took too long", { cause });
    return fail("unavailable", "the mail service is not reachable", { cause });
  }
}
