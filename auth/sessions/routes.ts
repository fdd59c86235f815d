/** HTTP side of sessions. Translates only: who is let in, and what ends, is decided beside. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { Scope } from "#contracts/scopes";
import { ACCESS_TOKEN, Credentials, PasswordChange, RefreshRequest, type SessionsEnded } from "#contracts/auth";
import { orThrow } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import { within } from "#shared/telemetry";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import { type Admit, type AskingCall, demand, type Need, type Principal } from "../principal.ts";
import type { Login } from "./login.ts";
import { meOf } from "./me.ts";
import type { Refresh } from "./refresh.ts";
import type { Revocations } from "./revocations.ts";
import type { Sessions } from "./sessions.ts";
import type { Tokens } from "./tokens.ts";

/** Longest that it may take where a password is hashed (ms), waiting for a thread included; and all else. */
const HASHING_MS = 10_000;
const LOOK_MS = 3_000;

const credentialsOf = makeValidator(Credentials);
const refreshOf = makeValidator(RefreshRequest, { unknown: "refuse" });
const passwordChangeOf = makeValidator(PasswordChange, { unknown: "refuse" });
/** Of another user (needs `users:read`, or `users:manage` to end them); default one's own. */
const UserId = Type.Optional(Type.Integer({ minimum: 1, maximum: 999_999_999 }));
const pageOf = makeQueryValidator(
  Type.Object({
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
    cursor: Type.Optional(Type.String({ maxLength: 100 })),
    user_id: UserId,
  }),
);
const whoseOf = makeQueryValidator(Type.Object({ user_id: UserId }));
const sinceOf = makeQueryValidator(Type.Object({ since: Type.Optional(Type.String({ maxLength: 100 })) }));

export interface SessionOperations {
  login: Login;
  refresh: Refresh;
  sessions: Sessions;
  revocations: Revocations;
  admit: Admit;
  tokens: Pick<Tokens, "keySet">;
}

export const sessionRoutes = (operations: SessionOperations) => {
  const { login, refresh, sessions, revocations, admit, tokens } = operations;
  /** Who asks, if he may, and how long he waits at most. */
  async function asking<N extends Need>(call: AskingCall, ms: number, need: N) {
    const context = within(contextOf(call.request), ms);
    const principal = await admit(call, context, need);
    return { principal, context };
  }

  /** His own sessions, by one of them; another's, by scope. */
  function whose(
    call: AskingCall,
    { principal }: { principal: Principal },
    userId: number | undefined,
    scope: Scope,
  ): number {
    const own = principal.session?.user.id;
    demand(call, principal, userId === undefined || userId === own ? { session: true } : { scope });
    return userId ?? own ?? 0;
  }

  async function logIn(body: unknown, request: Request) {
    const credentials = orThrow(credentialsOf(body));
    const reply = orThrow(await login(credentials, within(contextOf(request), HASHING_MS)));
    return envelope(`Logged in user ${reply.email}`, reply);
  }

  return (
    new Elysia({ name: "auth.sessions.routes" })
      .post("/authenticate", async ({ body, request, set }) => {
        const answer = await logIn(body, request);
        set.status = 202;
        return answer;
      })
      .post("/sessions", async ({ body, request, set }) => {
        const answer = await logIn(body, request);
        set.status = 201;
        return answer;
      })
      .post("/sessions/refresh", async ({ body, request, set }) => {
        const { refresh_token } = orThrow(refreshOf(body));
        const reply = await refresh(refresh_token, within(contextOf(request), LOOK_MS));
        if (!reply.ok && reply.error.code === "unauthenticated") set.headers["www-authenticate"] = "Bearer";
        return envelope("Session refreshed", orThrow(reply));
      })
      .get("/me", async (call) => {
        const { principal } = await asking(call, LOOK_MS, { session: true });
        return envelope("The user of this session", meOf(principal.session));
      })
      .put("/me/password", async (call) => {
        const asker = await asking(call, HASHING_MS, { session: true });
        const change = orThrow(passwordChangeOf(call.body));
        const ended = orThrow(await sessions.changePassword(asker.principal.session, change, asker));
        return envelope("Password changed", { ended } satisfies SessionsEnded);
      })
      .get("/sessions", async (call) => {
        const asker = await asking(call, LOOK_MS, {});
        const { limit = 50, cursor, user_id } = orThrow(pageOf(call.request.url));
        const userId = whose(call, asker, user_id, "users:read");
        const page = { limit, ...(cursor === undefined ? {} : { cursor }) };
        return envelope("Sessions", orThrow(await sessions.list(userId, page, asker.principal, asker.context)));
      })
      .delete("/sessions", async (call) => {
        const asker = await asking(call, LOOK_MS, {});
        const { user_id } = orThrow(whoseOf(call.request.url));
        const userId = whose(call, asker, user_id, "users:manage");
        const ended = orThrow(await sessions.endAll(userId, asker));
        return envelope("Sessions ended", { ended } satisfies SessionsEnded);
      })
      .delete("/sessions/current", async (call) => {
        const asker = await asking(call, LOOK_MS, { session: true });
        orThrow(await sessions.logout(asker.principal.session, asker));
        return envelope("Logged out", { ended: 1 } satisfies SessionsEnded);
      })
      .delete("/sessions/:id", async (call) => {
        const asker = await asking(call, LOOK_MS, {});
        orThrow(await sessions.end(call.params.id, asker));
        return envelope("Session ended", { ended: 1 } satisfies SessionsEnded);
      })
      // For the brokers, which ask with their own key.
      .get("/revocations", async ({ request }) => {
        const { since } = orThrow(sinceOf(request.url));
        return envelope("Revocations", orThrow(await revocations(since, within(contextOf(request), LOOK_MS))));
      })
      .get("/.well-known/jwks.json", ({ set }) => {
        const keySet = orThrow(tokens.keySet());
        set.headers["cache-control"] = `public, max-age=${ACCESS_TOKEN.keySetMaxAgeS}`;
        return keySet;
      })
  );
};
