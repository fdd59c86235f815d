/**
 * HTTP surface of the broker: `POST /`, `POST /handle`, receipts, pages. Translates only; what is done for an action is
 * decided in handle.ts, where something is in receipts.ts. The rest of `/v1` is in v1/.
 */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { ACCESS_TOKEN } from "#contracts/auth";
import { orThrow } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import { makeQueryValidator } from "#shared/validation";
import type { Access } from "./access/access.ts";
import { accepted, callOf } from "./calls.ts";
import { type Operations, replyOf } from "./handle.ts";
import { given, markDegraded } from "./marks.ts";
import { openApi } from "./openapi/index.ts";
import { type PagesOptions, pages, serve } from "./page/index.ts";
import type { Receipts } from "./receipts.ts";
import type { KeySet } from "./sessions/key-set.ts";
import { challenge } from "./sessions/bearer.ts";

const noQuery = makeQueryValidator(Type.Object({}));

export interface Does {
  readonly operations: Operations;
  readonly receipts: Receipts;
  readonly access: Pick<Access, "mayAct">;
  readonly keys: Pick<KeySet, "published">;
}

export function routes({ operations, receipts, access, keys }: Does, options: PagesOptions) {
  const files = pages(options);
  const description = openApi(options.version);

  const app = new Elysia({ name: "broker.routes" })
    .post("/", async ({ request, set }) => {
      const call = callOf(request, "/", access);
      const { message } = accepted(await operations.hit(call), set);
      return envelope(message);
    })
    .post("/handle", async ({ body, request, set }) => {
      const call = callOf(request, "/handle", access);
      if (!Array.isArray(body)) {
        const answered = await operations.handle(body, call);
        if (!answered.result.ok) challenge(answered.result.error, request, set);
        const { message, data } = replyOf(accepted(answered, set));
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
      orThrow(noQuery(request.url));
      const receipt = orThrow(await receipts(params.id, contextOf(request)));
      return envelope(receipt.state, receipt);
    });

  app.get("/.well-known/jwks.json", ({ set }) => {
    const published = orThrow(keys.published());
    set.headers["cache-control"] = `public, max-age=${ACCESS_TOKEN.keySetMaxAgeS}`;
    return published;
  });
  if (options.isDescribed) app.get("/openapi.json", () => description);
  for (const file of files) app.get(file.path, ({ request, set }) => serve(file, request, set));
  return app;
}
