/** HTTP side of registration. Translates only. Sessions have their own: sessions/routes.ts. */
import { Elysia } from "elysia";
import { Registration, type RegistrationView } from "#contracts/auth";
import { IDEMPOTENCY_KEY_HEADER, REPLAYED_HEADER } from "#contracts/headers";
import { Failure, type Result } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import type { WorkContext } from "#shared/postgres";
import type { CallerTable } from "#shared/service-keys";
import { within } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import type { Admit } from "./principal.ts";
import type { Register } from "./registration/register.ts";

/** Longest that a registration may take (ms), waiting for a hashing thread included. */
const HASHING_MS = 10_000;
/** Longest that it may take to look something up (ms). */
const LOOK_MS = 3_000;

/** Which service may ask what. */
export const CALLERS: CallerTable = { broker: ["*"] };

const registrationFrom = makeValidator(Registration, { unknown: "refuse" });

export interface Operations {
  register: Register;
  /** How far a user's registration is; undefined where there is none. */
  registrationOf: (userId: number, context: WorkContext) => Promise<Result<RegistrationView | undefined>>;
  admit: Admit;
}

export const routes = ({ register, registrationOf, admit }: Operations) =>
  new Elysia({ name: "auth.routes" })
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
    .get("/users/:id/registration", async ({ params, request, set }) => {
      const context = within(contextOf(request), LOOK_MS);
      await admit({ request, set }, context, { scope: "users:read" });
      // What is longer is no id: the column is a 32-bit integer.
      if (!/^[1-9]\d{0,8}$/.test(params.id)) throw new Failure("not_found", "no such registration");
      const found = await registrationOf(Number(params.id), within(contextOf(request), LOOK_MS));
      if (!found.ok) throw found.error;
      if (found.value === undefined) throw new Failure("not_found", "no such registration");
      return envelope("Registration", found.value);
    });
