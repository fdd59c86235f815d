/** HTTP side of auth. Translates only: who is let in is decided in login.ts. */
import { Elysia } from "elysia";
import { Credentials, Registration, type RegistrationView } from "#contracts/auth";
import { IDEMPOTENCY_KEY_HEADER, REPLAYED_HEADER } from "#contracts/headers";
import { Failure, type Result } from "#shared/errors";
import { clientOf, contextOf, envelope } from "#shared/http";
import type { Deadline } from "#shared/resilience";
import type { CallerTable } from "#shared/service-keys";
import { makeValidator } from "#shared/validation";
import type { Login } from "./sessions/login.ts";
import type { Admit } from "./principal.ts";
import { meOf } from "./sessions/me.ts";
import type { Register } from "./registration/register.ts";
import type { Throttle } from "./sessions/throttle.ts";
import type { Tokens } from "./sessions/tokens.ts";

/** Longest that a login or a registration may take (ms), waiting for a hashing thread included. */
const HASHING_MS = 10_000;
/** Longest that it may take to look something up (ms). */
const LOOK_MS = 3_000;
/** How long others may keep the key set (s): a new key is known everywhere that much later. */
const KEY_SET_MAX_AGE_S = 60;

/** Which service may ask what. */
export const CALLERS: CallerTable = { broker: ["*"] };

const credentialsOf = makeValidator(Credentials);
const registrationFrom = makeValidator(Registration, { unknown: "refuse" });

export interface Operations {
  login: Login;
  throttle: Throttle;
  admit: Admit;
  register: Register;
  /** How far a user's registration is; undefined where there is none. */
  registrationOf: (userId: number, deadline: Deadline) => Promise<Result<RegistrationView | undefined>>;
  tokens: Pick<Tokens, "keySet">;
}

export const routes = ({ login, throttle, admit, register, registrationOf, tokens }: Operations) =>
  new Elysia({ name: "auth.routes" })
    .post("/authenticate", async ({ body, request, set }) => {
      const credentials = credentialsOf(body);
      if (!credentials.ok) throw credentials.error;
      const deadline = contextOf(request).deadline.within(HASHING_MS);
      const reply = await throttle(credentials.value.email, clientOf(request).address, deadline, () =>
        login(credentials.value, deadline),
      );
      if (!reply.ok) throw reply.error;
      set.status = 202;
      return envelope(`Logged in user ${reply.value.email}`, reply.value);
    })
    .post("/users", async ({ body, request, set }) => {
      const registration = registrationFrom(body);
      if (!registration.ok) throw registration.error;
      const key = request.headers.get(IDEMPOTENCY_KEY_HEADER) ?? undefined;
      const context = contextOf(request);
      const reply = await register(registration.value, key, {
        ...context,
        deadline: context.deadline.within(HASHING_MS),
      });
      if (!reply.ok) throw reply.error;
      if (reply.value.replayed) set.headers[REPLAYED_HEADER] = "true";
      set.status = 201;
      return envelope("User registered", reply.value.view);
    })
    .get("/users/:id/registration", async ({ params, request }) => {
      // What is longer is no id: the column is a 32-bit integer.
      if (!/^[1-9]\d{0,8}$/.test(params.id)) throw new Failure("not_found", "no such registration");
      const found = await registrationOf(Number(params.id), contextOf(request).deadline.within(LOOK_MS));
      if (!found.ok) throw found.error;
      if (found.value === undefined) throw new Failure("not_found", "no such registration");
      return envelope("Registration", found.value);
    })
    .get("/me", async ({ request, set }) => {
      const { session } = await admit({ request, set }, contextOf(request).deadline.within(LOOK_MS), { session: true });
      return envelope("The user of this session", meOf(session));
    })
    .get("/.well-known/jwks.json", ({ set }) => {
      const keySet = tokens.keySet();
      if (!keySet.ok) throw keySet.error;
      set.headers["cache-control"] = `public, max-age=${KEY_SET_MAX_AGE_S}`;
      return keySet.value;
    });
