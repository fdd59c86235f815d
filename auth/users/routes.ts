/** HTTP side of users: for those who manage them, and a user's own fields. Translates only. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { MePatch, UserFilter, UserPatch } from "#contracts/auth";
import { Failure, orThrow } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import { type CallContext, within } from "#shared/telemetry";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import type { Admit } from "../principal.ts";
import { meOf } from "../sessions/me.ts";
import type { Users } from "./manage.ts";

/** Longest that it may take to look something up, or to change it (ms). */
const LOOK_MS = 3_000;
const CHANGE_MS = 5_000;
const PAGE_MAX = 200;

const queryOf = makeQueryValidator(
  Type.Composite([
    UserFilter,
    Type.Object({
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: PAGE_MAX })),
      cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
    }),
  ]),
);
const patchOf = makeValidator(UserPatch, { unknown: "refuse" });
const ownPatchOf = makeValidator(MePatch, { unknown: "refuse" });

/** @throws Failure `not_found` for what can be nobody's id: the column is a 32-bit integer. */
function idOf(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Failure("not_found", "no such user");
  return Number(text);
}

const looking = (request: Request): CallContext => within(contextOf(request), LOOK_MS);
const changing = (request: Request): CallContext => within(contextOf(request), CHANGE_MS);

export const userRoutes = ({ admit, users }: { admit: Admit; users: Users }) =>
  new Elysia({ name: "auth.users" })
    .get("/users", async ({ request, set }) => {
      const context = looking(request);
      await admit({ request, set }, context, { scope: "users:read" });
      const query = orThrow(queryOf(request.url));
      const page = orThrow(await users.list(query, context));
      return envelope("Users", page);
    })
    .get("/users/:id", async ({ params, request, set }) => {
      const context = looking(request);
      await admit({ request, set }, context, { scope: "users:read" });
      const user = orThrow(await users.get(idOf(params.id), context));
      return envelope("User", user);
    })
    .patch("/users/:id", async ({ params, body, request, set }) => {
      const context = changing(request);
      const editor = await admit({ request, set }, context, { scope: "users:manage" });
      const patch = orThrow(patchOf(body));
      const user = orThrow(await users.change(idOf(params.id), patch, editor, context));
      return envelope("User changed", user);
    })
    .delete("/users/:id", async ({ params, request, set }) => {
      const context = changing(request);
      const editor = await admit({ request, set }, context, { scope: "users:manage" });
      orThrow(await users.remove(idOf(params.id), editor, context));
      return envelope("User deleted");
    })
    .patch("/me", async ({ body, request, set }) => {
      const context = changing(request);
      const { session, ...editor } = await admit({ request, set }, context, { session: true });
      const patch = orThrow(ownPatchOf(body));
      const user = orThrow(await users.changeOwn(session.user.id, patch, editor, context));
      return envelope("User changed", meOf({ ...session, user }));
    });
