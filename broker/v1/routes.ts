/** The versioned API: sessions, registration, health. Translates only. Mails are in mails.ts, operators' routes in operators.ts. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { MeView, Registration, RegistrationView } from "#contracts/auth";
import { IDEMPOTENCY_KEY_HEADER, REPLAYED_HEADER } from "#contracts/headers";
import { Failure } from "#shared/errors";
import { contextOf, envelope, socketAddressOf } from "#shared/http";
import type { CallContext } from "#shared/telemetry";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import { orThrow } from "../calls.ts";
import { bearerOf, orChallenge } from "../sessions/bearer.ts";
import { ask, type Neighbour } from "../forward.ts";
import { isAway } from "../handle.ts";
import type { PlatformHealth } from "./health.ts";
import { keyOf } from "../idempotency.ts";
import type { Operator } from "./operator.ts";
import { markDegraded } from "../marks.ts";
import type { Sessions } from "../sessions/sessions.ts";

const registrationOf = makeValidator(Registration, { unknown: "refuse" });
const registeredOf = makeValidator(RegistrationView, { name: "auth's answer" });
const meOf = makeValidator(MeView, { name: "auth's answer" });
const noQuery = makeQueryValidator(Type.Object({}));

export interface V1Options {
  readonly sessions: Sessions;
  readonly operator: Operator;
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

export function v1({ sessions, operator, auth, health }: V1Options) {
  return new Elysia({ name: "broker.v1", prefix: "/v1" })
    .get("/me", async ({ request, set }) => {
      orThrow(noQuery(request.url));
      const context = contextOf(request);
      const session = orChallenge(await sessions.verify(bearerOf(request), context.deadline), request, set);
      const { user, degraded } = orChallenge(await sessions.current(session, context), request, set);
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
    .get("/health", async ({ request, set, server }) => {
      orThrow(noQuery(request.url));
      const { message, report, ready } = await health();
      const address = socketAddressOf(request, server) ?? "unknown";
      const admitted = await operator.admit(bearerOf(request), address, contextOf(request).deadline);
      set.status = ready ? 200 : 503;
      return { ...envelope(message, admitted.ok ? report : withoutErrors(report)), error: !ready };
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

/** What a service says of its troubles may name hosts: that is for operators. */
function withoutErrors(report: PlatformHealth["report"]): PlatformHealth["report"] {
  return {
    ...report,
    services: report.services.map((service) => ({
      ...service,
      dependencies: service.dependencies.map(({ last_error: _hidden, ...dependency }) => dependency),
    })),
  };
}
