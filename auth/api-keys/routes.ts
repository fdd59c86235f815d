/** HTTP side of the API keys. Translates only. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { ApiKeyCheck, ApiKeyFilter, ApiKeyRequest, ApiKeyRotation } from "#contracts/auth";
import { Failure, type Result } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import { within } from "#shared/telemetry";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import type { Admit } from "../principal.ts";
import type { ApiKeys } from "./api-keys.ts";

/** Longest that a request may take (ms). */
const WORK_MS = 3_000;
const DEFAULT_ITEMS = 50;
const MAX_ITEMS = 200;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const requestOf = makeValidator(ApiKeyRequest, { unknown: "refuse" });
const rotationOf = makeValidator(ApiKeyRotation, { unknown: "refuse" });
const checkOf = makeValidator(ApiKeyCheck, { unknown: "refuse" });
const noQuery = makeQueryValidator(Type.Object({}));
const listQuery = makeQueryValidator(
  Type.Object({
    ...ApiKeyFilter.properties,
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_ITEMS })),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  }),
);

export function apiKeyRoutes(apiKeys: ApiKeys, admit: Admit) {
  return (
    new Elysia({ name: "auth.api-keys.routes" })
      .post("/api-keys", async ({ body, request, set }) => {
        valueOf(noQuery(request.url));
        const context = within(contextOf(request), WORK_MS);
        const principal = await admit({ request, set }, context.deadline);
        const made = valueOf(await apiKeys.create(valueOf(requestOf(body)), principal, context));
        set.status = 201;
        return envelope("API key made: it is shown only now", made);
      })
      .get("/api-keys", async ({ request, set }) => {
        const { limit = DEFAULT_ITEMS, cursor, ...filter } = valueOf(listQuery(request.url));
        const { deadline } = within(contextOf(request), WORK_MS);
        const principal = await admit({ request, set }, deadline);
        const page = valueOf(await apiKeys.list(filter, { limit, cursor }, principal, deadline));
        return envelope(`${page.items.length} API keys`, page);
      })
      .delete("/api-keys/:id", async ({ params, request, set }) => {
        valueOf(noQuery(request.url));
        const context = within(contextOf(request), WORK_MS);
        const principal = await admit({ request, set }, context.deadline);
        return envelope("API key revoked", valueOf(await apiKeys.revoke(idOf(params.id), principal, context)));
      })
      .post("/api-keys/:id/rotate", async ({ body, params, request, set }) => {
        valueOf(noQuery(request.url));
        const context = within(contextOf(request), WORK_MS);
        const principal = await admit({ request, set }, context.deadline);
        const { overlap_s } = valueOf(rotationOf(body));
        const made = valueOf(await apiKeys.rotate(idOf(params.id), overlap_s, principal, context));
        set.status = 201;
        return envelope("API key rotated: the new one is shown only now", made);
      })
      // For brokers: whose key it is. By whom it may be asked is the service key's to say.
      .post("/api-keys/verify", async ({ body, request }) => {
        const { key } = valueOf(checkOf(body));
        const holder = valueOf(await apiKeys.holderOf(key, within(contextOf(request), WORK_MS).deadline));
        if (holder === undefined) throw new Failure("unauthenticated", "the API key is not valid");
        return envelope("API key", holder);
      })
  );
}

function valueOf<T>(result: Result<T>): T {
  if (!result.ok) throw result.error;
  return result.value;
}

function idOf(id: string): string {
  if (!UUID.test(id)) throw new Failure("not_found", "no such API key");
  return id.toLowerCase();
}
