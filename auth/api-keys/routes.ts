/** HTTP side of the API keys. Translates only. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { ApiKeyCheck, ApiKeyFilter, ApiKeyRequest, ApiKeyRotation } from "#contracts/auth";
import { Failure, orThrow } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import { isUuid } from "#shared/ids";
import { within } from "#shared/telemetry";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import type { Admit } from "../principal.ts";
import type { ApiKeys } from "./api-keys.ts";

/** Longest that a request may take (ms). */
const WORK_MS = 3_000;
const DEFAULT_ITEMS = 50;
const MAX_ITEMS = 200;

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
        orThrow(noQuery(request.url));
        const context = within(contextOf(request), WORK_MS);
        const principal = await admit({ request, set }, context);
        const made = orThrow(await apiKeys.create(orThrow(requestOf(body)), principal, context));
        set.status = 201;
        return envelope("API key made: it is shown only now", made);
      })
      .get("/api-keys", async ({ request, set }) => {
        const { limit = DEFAULT_ITEMS, cursor, ...filter } = orThrow(listQuery(request.url));
        const context = within(contextOf(request), WORK_MS);
        const principal = await admit({ request, set }, context);
        const page = orThrow(await apiKeys.list(filter, { limit, cursor }, principal, context));
        return envelope(`${page.items.length} API keys`, page);
      })
      .delete("/api-keys/:id", async ({ params, request, set }) => {
        orThrow(noQuery(request.url));
        const context = within(contextOf(request), WORK_MS);
        const principal = await admit({ request, set }, context);
        return envelope("API key revoked", orThrow(await apiKeys.revoke(idOf(params.id), principal, context)));
      })
      .post("/api-keys/:id/rotate", async ({ body, params, request, set }) => {
        orThrow(noQuery(request.url));
        const context = within(contextOf(request), WORK_MS);
        const principal = await admit({ request, set }, context);
        const { overlap_s } = orThrow(rotationOf(body));
        const made = orThrow(await apiKeys.rotate(idOf(params.id), overlap_s, principal, context));
        set.status = 201;
        return envelope("API key rotated: the new one is shown only now", made);
      })
      // For brokers: whose key it is. By whom it may be asked is the service key's to say.
      .post("/api-keys/verify", async ({ body, request }) => {
        const { key } = orThrow(checkOf(body));
        const holder = orThrow(await apiKeys.holderOf(key, within(contextOf(request), WORK_MS)));
        if (holder === undefined) throw new Failure("unauthenticated", "the API key is not valid");
        return envelope("API key", holder);
      })
  );
}

function idOf(text: string): string {
  const id = text.toLowerCase();
  if (!isUuid(id)) throw new Failure("not_found", "no such API key");
  return id;
}
