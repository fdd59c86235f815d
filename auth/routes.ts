/** HTTP side of auth. Translates only: who is let in is decided in login.ts. */
import { Elysia } from "elysia";
import { Credentials } from "#contracts/auth";
import { contextOf, envelope } from "#shared/http";
import { makeValidator } from "#shared/validation";
import type { Login } from "./login.ts";
import type { Tokens } from "./tokens.ts";

/** Longest that a login may take (ms), waiting for a hashing thread included. */
const LOGIN_MS = 10_000;
/** How long others may keep the key set (s): a new key is known everywhere that much later. */
const KEY_SET_MAX_AGE_S = 60;

const credentialsOf = makeValidator(Credentials);

export const routes = (login: Login, tokens: Pick<Tokens, "keySet">) =>
  new Elysia({ name: "auth.routes" })
    .post("/authenticate", async ({ body, request, set }) => {
      const credentials = credentialsOf(body);
      if (!credentials.ok) throw credentials.error;
      const reply = await login(credentials.value, contextOf(request).deadline.within(LOGIN_MS));
      if (!reply.ok) throw reply.error;
      set.status = 202;
      return envelope(`Logged in user ${reply.value.email}`, reply.value);
    })
    .get("/.well-known/jwks.json", ({ set }) => {
      const keySet = tokens.keySet();
      if (!keySet.ok) throw keySet.error;
      set.headers["cache-control"] = `public, max-age=${KEY_SET_MAX_AGE_S}`;
      return keySet.value;
    });
