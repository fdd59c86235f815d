/** HTTP surface of the broker. Translates only; what is done for an action is decided in handle.ts. */
import { Elysia } from "elysia";
import type { Degraded } from "#contracts/broker";
import { DEGRADED_HEADER } from "#contracts/headers";
import type { Result } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import { type Accepted, type Operations, replyOf } from "./handle.ts";
import { openApi } from "./openapi.ts";
import { CSP_PAGE, pages } from "./page/index.ts";

/** Time that one request may take in all (ms): what is behind gives up earlier, so that there is time to queue. */
const HANDLE_MS = 15_000;

interface PageOptions {
  readonly inboxUrl: string | undefined;
  readonly version: string;
}

export function routes(operations: Operations, { inboxUrl, version }: PageOptions) {
  const files = pages({ inboxUrl, version });
  const description = openApi(version);

  const app = new Elysia({ name: "broker.routes" })
    .post("/", async ({ request, set }) => answer(await operations.hit(contextFor(request)), 200, set))
    .post("/handle", async ({ body, request, set }) => {
      const context = contextFor(request);
      if (!Array.isArray(body)) return answer(await operations.handle(body, context), 202, set);
      const batch = await operations.handleBatch(body, context);
      if (!batch.ok) throw batch.error;
      const { items, degraded } = batch.value;
      const failed = items.filter((item) => item.error).length;
      markDegraded(degraded, set);
      set.status = 207;
      return envelope(failed === 0 ? `${items.length} done` : `${items.length - failed} done, ${failed} failed`, items);
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

function contextFor(request: Request) {
  const context = contextOf(request);
  return { ...context, deadline: context.deadline.within(HANDLE_MS) };
}

interface Settable {
  status?: number | string;
  headers: Record<string, string | number>;
}

function answer(result: Result<Accepted>, status: number, set: Settable) {
  if (!result.ok) throw result.error;
  markDegraded(result.value.degraded ?? {}, set);
  set.status = status;
  const { message, data } = replyOf(result.value);
  return envelope(message, data);
}

function markDegraded(degraded: Degraded, set: Settable): void {
  const parts = Object.entries(degraded).map(([part, how]) => `${part}=${how}`);
  if (parts.length > 0) set.headers[DEGRADED_HEADER] = parts.join(", ");
}
