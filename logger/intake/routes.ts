/** Ways in for many entries at once, over HTTP: translates, never decides. */
import { Elysia } from "elysia";
import { IDEMPOTENCY_KEY_HEADER } from "#contracts/headers";
import { entriesOf } from "#contracts/logs";
import { orThrow } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import { idempotencyKeyOf } from "#shared/ids";
import { decodeLogs, formatOf, responseOf, takenOf } from "#shared/otlp";
import type { Entries } from "../entries.ts";
import { takeAll, takeKeyed } from "./batch.ts";
import { takeRecords } from "./otlp.ts";

export function intakeRoutes(entries: Entries) {
  return new Elysia({ name: "logger.intake" })
    .post("/logs", async ({ body, request, set }) => {
      const header = request.headers.get(IDEMPOTENCY_KEY_HEADER);
      const key = header === null ? undefined : orThrow(idempotencyKeyOf(header));
      const context = contextOf(request);
      const values = entriesOf(body);
      if (values === undefined) {
        orThrow(await takeKeyed(entries, body, { key }, context));
        set.status = 202;
        return envelope("logged");
      }
      const items = await takeAll(entries, values, key, context);
      const failed = items.filter((item) => item.error).length;
      set.status = 207;
      return envelope(
        failed === 0 ? `${items.length} logged` : `${items.length - failed} logged, ${failed} failed`,
        items,
      );
    })
    .post("/otlp/v1/logs", async ({ body, request, set }) => {
      const format = formatOf(request);
      const records = orThrow(decodeLogs(body, format));
      const taken = orThrow(takenOf(await takeRecords(entries, records, contextOf(request))));
      const response = responseOf(taken, format);
      set.headers["content-type"] = response.type;
      return response.body;
    });
}
