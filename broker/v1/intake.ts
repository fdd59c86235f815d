/** Entries by the many: `POST /v1/logs`, and OTLP/HTTP. Translates only; what is done for an entry is decided in handle.ts. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { entriesOf } from "#contracts/logs";
import { Failure, orThrow } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import { decodeLogs, formatOf, responseOf, takenOf } from "#shared/otlp";
import { makeQueryValidator } from "#shared/validation";
import type { Access } from "../access/access.ts";
import { callerOf, principalOf } from "../access/principal.ts";
import { accepted, callOf, HANDLE_MS } from "../calls.ts";
import { type Operations, replyOf } from "../handle.ts";
import { given, markDegraded, type Settable, worstOf } from "../marks.ts";

const noQuery = makeQueryValidator(Type.Object({}));

export interface IntakeRoutes {
  readonly operations: Pick<Operations, "log" | "logBatch" | "record">;
  readonly access: Pick<Access, "mayAct">;
}

/** The entries of a batch; undefined for one entry. Beside `entries` nothing is known. */
function batchOf(body: unknown): readonly unknown[] | undefined {
  const entries = entriesOf(body);
  if (entries === undefined || Array.isArray(body)) return entries;
  const stray = Object.keys(body as object).find((name) => name !== "entries");
  if (stray !== undefined) throw new Failure("invalid", `${stray} is not a known field`);
  return entries;
}

export function intakeRoutes({ operations, access }: IntakeRoutes) {
  const log = async ({ body, request, set }: { body: unknown; request: Request; set: Settable }) => {
    orThrow(noQuery(request.url));
    const call = callOf(request, "/v1/logs", access);
    const entries = batchOf(body);
    if (entries === undefined) {
      const { message, data } = replyOf(accepted(await operations.log(body, call), set));
      set.status = 202;
      return envelope(message, data);
    }
    const { items, degraded } = given(await operations.logBatch(entries, call), set);
    const failed = items.filter((item) => item.error).length;
    markDegraded(degraded, set);
    set.status = 207;
    return envelope(
      failed === 0 ? `${items.length} accepted` : `${items.length - failed} accepted, ${failed} failed`,
      items,
    );
  };

  return new Elysia({ name: "broker.intake" })
    .post("/v1/logs", log)
    .post("/otlp/v1/logs", async ({ body, request, set }) => {
      const format = formatOf(request);
      const records = orThrow(decodeLogs(body, format));
      const context = contextOf(request);
      const bounded = { ...context, deadline: context.deadline.within(HANDLE_MS) };
      const results = await operations.record(records, callerOf(principalOf(request)), bounded);
      const taken = orThrow(takenOf(results));
      markDegraded(worstOf(results.map((result) => (result.ok ? result.value.degraded : undefined))), set);
      const response = responseOf(taken, format);
      set.headers["content-type"] = response.type;
      return response.body;
    });
}
