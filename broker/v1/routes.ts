/** The versioned API: who is logged in, registration, health. Translates only. More of users and sessions is in identity.ts. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { MeView, Registration, RegistrationView } from "#contracts/auth";
import { IDEMPOTENCY_KEY_HEADER, REPLAYED_HEADER } from "#contracts/headers";
import { Failure, orThrow } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import type { CallContext } from "#shared/telemetry";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import type { Access } from "../access/access.ts";
import { principalOf } from "../access/principal.ts";
import type { ScopeRule } from "../access/rules.ts";
import { orChallenge } from "../sessions/bearer.ts";
import { ask, type Neighbour } from "../forward.ts";
import { isAway } from "../handle.ts";
import { type PlatformHealth, withoutErrors } from "./health.ts";
import { keyOf } from "../idempotency.ts";
import { markDegraded } from "../marks.ts";
import type { Sessions } from "../sessions/sessions.ts";

const registrationOf = makeValidator(Registration, { unknown: "refuse" });
const registeredOf = makeValidator(RegistrationView, { name: "auth's answer" });
const meOf = makeValidator(MeView, { name: "auth's answer" });
const noQuery = makeQueryValidator(Type.Object({}));
/** Who sees what a service says of its troubles, where it is and of what version: it may name hosts. */
const SEES_ERRORS: ScopeRule = { scope: "platform:read", anonymous: "development" };

export interface V1Options {
  readonly sessions: Sessions;
  readonly access: Pick<Access, "holds">;
  /** Auth, for what hashes a password. */
  readonly auth: Neighbour;
  readonly health: () => Promise<PlatformHealth>;
}

/** Auth's `GET /me`, as sessions ask it. */
export const askMe = (auth: Neighbour) => async (token: string, context: CallContext) => {
  const told = await ask(
    auth,
    {
      method: "GET",
      path: "/me",
      headers: { authorization: `Bearer ${token}` },
      status: 200,
      check: meOf,
      ofTheCaller: ["unauthenticated", "forbidden", "exhausted"],
    },
    context,
  );
  return told.ok ? { ok: true as const, value: told.value.data } : told;
};

export function v1({ sessions, access, auth, health }: V1Options) {
  return new Elysia({ name: "broker.v1", prefix: "/v1" })
    .get("/me", async ({ request, set }) => {
      orThrow(noQuery(request.url));
      const principal = principalOf(request);
      if (principal.kind !== "user") throw new Error("the rule of /v1/me lets in who is no user: this is a bug");
      const known = await sessions.current(principal.session, contextOf(request));
      const { user, degraded } = orChallenge(known, request, set);
      markDegraded(degraded ?? {}, set);
      return envelope("The user of this session", degraded === undefined ? user : { ...user, degraded });
    })
    .post("/users", async ({ body, request, set }) => {
      orThrow(noQuery(request.url));
      const registration = orThrow(registrationOf(body));
      const key = orThrow(keyOf(request.headers.get(IDEMPOTENCY_KEY_HEADER)));
      const registered = await ask(
        auth,
        {
          method: "POST",
          path: "/users",
          body: registration,
          headers: key === undefined ? {} : { [IDEMPOTENCY_KEY_HEADER]: key },
          status: 201,
          check: registeredOf,
          ofTheCaller: ["malformed", "invalid", "conflict", "exhausted"],
        },
        contextOf(request),
      );
      if (!registered.ok) throw registrationFailure(registered.error);
      if (registered.value.replayed) set.headers[REPLAYED_HEADER] = "true";
      set.status = 201;
      return envelope(registered.value.message, registered.value.data);
    })
    .get("/health", async ({ request, set }) => {
      orThrow(noQuery(request.url));
      const { message, report, ready } = await health();
      const isShown = await access.holds(request, SEES_ERRORS);
      set.status = ready ? 200 : 503;
      return { ...envelope(message, isShown ? report : withoutErrors(report)), error: !ready };
    });
}

/** What auth did before its answer was lost is not known: the same registration again tells. */
function registrationFailure(failure: Failure): Failure {
  if (!isAway(failure) || failure.code === "exhausted") return failure;
  return new Failure(failure.code, "The auth service is away: send the registration again", {
    cause: failure,
    ...(failure.retryAfterS === undefined ? {} : { retryAfterS: failure.retryAfterS }),
  });
}
