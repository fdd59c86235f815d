/**
 * HTTP surface of the broker: `POST /`, `POST /handle`, receipts, pages. Translates only; what is done for an action is
 * decided in handle.ts, where something is in receipts.ts. The rest of `/v1` is in v1/.
 */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { IDEMPOTENCY_KEY_HEADER } from "#contracts/headers";
import { contextOf, envelope } from "#shared/http";
import { makeQueryValidator } from "#shared/validation";
import { bearerOf, namesBearer, orChallenge } from "./sessions/bearer.ts";
import { type Accepted, type Call, type Operations, replyOf } from "./handle.ts";
import { type Answered, keyOf } from "./idempotency.ts";
import { given, markDegraded, type Settable } from "./marks.ts";
import { openApi } from "./openapi/index.ts";
import { CSP_PAGE, pages } from "./page/index.ts";
import type { Receipts } from "./receipts.ts";
import type { Sessions } from "./sessions/sessions.ts";

/** Time that one request may take in all (ms): what is behind gives up earlier, so that there is time to queue. */
const HANDLE_MS = 15_000;

const noQuery = makeQueryValidator(Type.Object({}));

export interface Does {
  readonly operations: Operations;
  readonly receipts: Receipts;
  /** Whose Idempotency-Key it is. */
  readonly sessions: Pick<Sessions, "verify">;
}

interface PageOptions {
  readonly inboxUrl: string | undefined;
  readonly version: string;
}

export function routes({ operations, receipts, sessions }: Does, { inboxUrl, version }: PageOptions) {
  const files = pages({ inboxUrl, version });
  const description = openApi(version);

  const app = new Elysia({ name: "broker.routes" })
    .post("/", async ({ request, set }) => {
      const call = await callOf(request, "/", sessions, set);
      const { message } = accepted(await operations.hit(call), set);
      return envelope(message);
    })
    .post("/handle", async ({ body, request, set }) => {
      const call = await callOf(request, "/handle", sessions, set);
      if (!Array.isArray(body)) {
        const { message, data } = replyOf(accepted(await operations.handle(body, call), set));
        set.status = 202;
        return envelope(message, data);
      }
      const { items, degraded } = given(await operations.handleBatch(body, call), set);
      const failed = items.filter((item) => item.error).length;
      markDegraded(degraded, set);
      set.status = 207;
      return envelope(failed === 0 ? `${items.length} done` : `${items.length - failed} done, ${failed} failed`, items);
    })
    .get("/v1/receipts/:id", async ({ params, request }) => {
      const query = noQuery(request.url);
      if (!query.ok) throw query.error;
      const receipt = await receipts(params.id, contextOf(request));
      if (!receipt.ok) throw receipt.error;
      return envelope(receipt.value.state, receipt.value);
    })
    .get("/openapi.json", () => description);

  for (const { path, type, body } of files) {
    app.get(path, ({ set }) => {
      set.headers["content-type"] = type;
      set.headers["content-security-policy"] = CSP_PAGE;
      set.headers["cache-control"] = "no-cache";
      return body;
    });
  }
  return app;
}

/**
 * What is asked, and whose Idempotency-Key it is. With a key a token has to be valid: taken for nobody's, the same
 * request would be another one as soon as its token has expired.
 */
async function callOf(
  request: Request,
  route: string,
  sessions: Pick<Sessions, "verify">,
  set: Settable,
): Promise<Call> {
  const given = contextOf(request);
  const context = { ...given, deadline: given.deadline.within(HANDLE_MS) };
  const key = keyOf(request.headers.get(IDEMPOTENCY_KEY_HEADER));
  if (!key.ok) throw key.error;
  if (key.value === undefined) return { context };
  const caller = namesBearer(request)
    ? `user:${orChallenge(await sessions.verify(bearerOf(request), context.deadline), request, set).sub}`
    : "anonymous";
  return { context, scope: { caller, route, key: key.value } };
}

function accepted(answered: Answered<Accepted>, set: Settable): Accepted {
  const value = given(answered, set);
  markDegraded(value.degraded ?? {}, set);
  if (value.receiptId !== undefined) set.headers["location"] = `/v1/receipts/${value.receiptId}`;
  return value;
}
