/** Users, sessions, keys, and the mails that prove an address: as auth tells whoever asks, by his own credential. Translates only. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import {
  AddressRequest,
  ApiKeyFilter,
  ApiKeyPage,
  ApiKeyRequest,
  ApiKeyRotation,
  ApiKeyView,
  ConfirmRequest,
  Credentials,
  LoginReply,
  ManagedUser,
  ManagedUserPage,
  MePatch,
  MeView,
  NewApiKey,
  PasswordChange,
  RefreshRequest,
  ResetRequest,
  SessionPage,
  SessionsEnded,
  TokenReply,
  UserFilter,
  UserPatch,
} from "#contracts/auth";
import { REPLAYED_HEADER } from "#contracts/headers";
import { Failure, orThrow } from "#shared/errors";
import { makeValidator } from "#shared/validation";
import type { Neighbour } from "../forward.ts";
import { challenge } from "../sessions/bearer.ts";
import { endCookie, intoCookie, isByCookie, refreshTokenOf } from "../sessions/cookie.ts";
import { at, type Call, type Desk, NO_QUERY, type OwnersPath } from "./desk.ts";

const paging = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 2_048 })),
};
export const PageQuery = Type.Object(paging);
export const UsersQuery = Type.Object({ ...UserFilter.properties, ...paging });
export const ApiKeysQuery = Type.Object({ ...ApiKeyFilter.properties, ...paging });

/** Where the message says all. */
const SAID = Type.Unknown();

/** Body of a refresh whose token is in the cookie: nothing. */
const nothingOf = makeValidator(Type.Object({}), { unknown: "refuse" });

/** Auth has them by a query. */
const sessionsOfUser: OwnersPath = ({ id = "" }) => {
  if (!/^[1-9]\d{0,8}$/.test(id)) throw new Failure("not_found", "no such user");
  return `/sessions?user_id=${id}`;
};

export interface IdentityRoutes {
  readonly desk: Desk;
  /** Auth three times: for what hashes a password, for what changes something, and for questions. */
  readonly hashing: Neighbour;
  readonly commands: Neighbour;
  readonly reads: Neighbour;
  /** Told of every login that auth has let in. */
  readonly onLogin: (reply: LoginReply) => void;
}

export function identityRoutes({ desk, hashing, commands, reads, onLogin }: IdentityRoutes) {
  const { reading, removing, doing, exchanging, changing } = desk;
  const login = doing(hashing, "/sessions", Credentials, LoginReply);
  const refresh = exchanging(commands, "/sessions/refresh", RefreshRequest, TokenReply);
  const logOut = removing(commands, "/sessions/current", NO_QUERY, SessionsEnded);

  async function refreshByCookie(call: Call & { readonly body: unknown }) {
    const { params, request, set } = call;
    orThrow(nothingOf(call.body));
    const token = refreshTokenOf(request);
    try {
      if (token === undefined) throw new Failure("unauthenticated", "this browser has no session: log in");
      const told = await refresh({ params, request, set, body: { refresh_token: token } });
      return { ...told, data: intoCookie(told.data as TokenReply, request, set) };
    } catch (error) {
      if (error instanceof Failure && error.code === "unauthenticated") {
        challenge(error, request, set);
        endCookie(request, set);
      }
      throw error;
    }
  }

  return (
    new Elysia({ name: "broker.identity", prefix: "/v1" })
      .get("/users", reading(reads, "/users", UsersQuery, ManagedUserPage))
      .get("/users/:id", reading(reads, at("/users", "id"), NO_QUERY, ManagedUser))
      .patch("/users/:id", changing("PATCH")(commands, at("/users", "id"), UserPatch, ManagedUser))
      .delete("/users/:id", removing(commands, at("/users", "id"), NO_QUERY, SAID))
      .get("/users/:id/sessions", reading(reads, sessionsOfUser, PageQuery, SessionPage))
      .delete("/users/:id/sessions", removing(commands, sessionsOfUser, NO_QUERY, SessionsEnded))
      .patch("/me", changing("PATCH")(commands, "/me", MePatch, MeView))
      .put("/me/password", changing("PUT")(hashing, "/me/password", PasswordChange, SessionsEnded))
      .post("/sessions", async (call) => {
        const told = await login(call);
        // As the desk has checked it; what was answered before is no news.
        const reply = told.data as LoginReply;
        if (call.set.headers[REPLAYED_HEADER] === undefined) onLogin(reply);
        return isByCookie(call.request) ? { ...told, data: intoCookie(reply, call.request, call.set) } : told;
      })
      // A refresh token is its own key: within its grace the same one gets the same answer (docs/sessions.md).
      .post("/sessions/refresh", (call) => (isByCookie(call.request) ? refreshByCookie(call) : refresh(call)))
      .get("/sessions", reading(reads, "/sessions", PageQuery, SessionPage))
      .delete("/sessions", removing(commands, "/sessions", NO_QUERY, SessionsEnded))
      .delete("/sessions/current", async (call) => {
        const told = await logOut(call);
        if (isByCookie(call.request)) endCookie(call.request, call.set);
        return told;
      })
      .delete("/sessions/:id", removing(commands, at("/sessions", "id"), NO_QUERY, SessionsEnded))
      .post("/email-verifications", doing(commands, "/email-verifications", AddressRequest, SAID))
      .post("/email-verifications/confirm", doing(commands, "/email-verifications/confirm", ConfirmRequest, SAID))
      .post("/password-resets", doing(commands, "/password-resets", AddressRequest, SAID))
      .post("/password-resets/confirm", doing(hashing, "/password-resets/confirm", ResetRequest, SAID))
      .get("/api-keys", reading(reads, "/api-keys", ApiKeysQuery, ApiKeyPage))
      .post("/api-keys", doing(commands, "/api-keys", ApiKeyRequest, NewApiKey))
      .delete("/api-keys/:id", removing(commands, at("/api-keys", "id"), NO_QUERY, ApiKeyView))
      .post("/api-keys/:id/rotate", doing(commands, at("/api-keys", "id", "/rotate"), ApiKeyRotation, NewApiKey))
  );
}
