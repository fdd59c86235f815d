/** Somebody registers: a user, his workflow and the mail that verifies his address, or none of them. Knows no HTTP and no SQL. */
import type { Registration, RegistrationView } from "#contracts/auth";
import { fail, ok, type Result } from "#shared/errors";
import { idempotencyKeyOf } from "#shared/ids";
import { keyOf, type Saga, type Sagas, uuidOf } from "#shared/saga";
import type { CallContext } from "#shared/telemetry";
import type { Metrics } from "#shared/telemetry";
import type { Links } from "../flows/links.ts";
import type { Outbox } from "../outbox/outbox.ts";
import type { Passwords } from "../passwords.ts";
import { checkNewPassword } from "../passwords-policy/policy.ts";
import { placeOf } from "../place.ts";
import type { Throttle } from "../sessions/throttle.ts";
import type { RegisteredUser, RegistrationStore } from "./registration-store.ts";
import { viewOf } from "../users/user-view.ts";
import { type RegistrationData, WELCOME_MAIL, welcomeLetter } from "./welcome.ts";

export interface Registered {
  readonly view: RegistrationView;
  /** The answer to an earlier request with the same Idempotency-Key. */
  readonly replayed: boolean;
}

/**
 * @param key the Idempotency-Key: the same key and body again is the same user.
 * @returns failure `conflict` where the address is taken, `invalid` for a password that may not be chosen, a key that was used with
 * another body or is none; `exhausted` where too many passwords were tried under one; `unavailable` (also when too many passwords wait to be hashed), `deadline`: nothing, or all of it, was done.
 */
export type Register = (
  registration: Registration,
  key: string | undefined,
  context: CallContext,
) => Promise<Result<Registered>>;

export interface RegisterPorts {
  store: Pick<RegistrationStore, "isTaken" | "create" | "findBySaga">;
  passwords: Passwords;
  throttle: Throttle;
  saga: Pick<Saga<RegistrationData>, "start">;
  sagas: Pick<Sagas, "wake">;
  links: Pick<Links, "send">;
  outbox: Outbox;
  /** Sender of the welcome mail. */
  from: string;
  metrics: Metrics;
}

/** The workflow's id under a key. */
function sagaIdOf(key: string | undefined): Result<string> {
  if (key === undefined) return ok(Bun.randomUUIDv7());
  const valid = idempotencyKeyOf(key);
  return valid.ok ? ok(uuidOf("user.registration", valid.value)) : valid;
}

/** Without the password: a quick hash of one must not be stored. That it is the same is told by its bcrypt hash. */
function contentHashOf({ email, first_name = "", last_name = "" }: Registration): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify([email, first_name, last_name])).digest();
}

export function registrationViewOf({ user, mailId, state }: RegisteredUser): RegistrationView {
  return { ...viewOf(user), registration: state, mail_id: mailId };
}

export function makeRegister(ports: RegisterPorts): Register {
  const { store, passwords, throttle, saga, sagas, links, outbox, from, metrics } = ports;
  const registrations = metrics.counter("auth_registrations_total", "Registrations by their result.", ["result"]);

  /** What is there under a key: the answer to the same request, or a refusal of another one. */
  async function replay(
    earlier: RegisteredUser,
    registration: Registration,
    context: CallContext,
  ): Promise<Result<Registered>> {
    const other = fail("invalid", "Idempotency-Key was used before with another body");
    if (Buffer.compare(earlier.contentHash, contentHashOf(registration)) !== 0) return other;
    // It tells whether the password is right: no faster than a login does.
    const known = await throttle(earlier.user.email, placeOf(context).address, context, async () => {
      const verdict = await passwords.verify(registration.password, earlier.user.passwordHash, context);
      return verdict.ok && !verdict.value.matches ? fail("unauthenticated") : verdict;
    });
    if (known.ok) return ok({ view: registrationViewOf(earlier), replayed: true });
    return known.error.code === "unauthenticated" ? other : known;
  }

  async function decide(
    registration: Registration,
    key: string | undefined,
    context: CallContext,
  ): Promise<Result<Registered>> {
    const { email, password, first_name: firstName = "", last_name: lastName = "" } = registration;
    const keyed = sagaIdOf(key);
    if (!keyed.ok) return keyed;
    const allowed = checkNewPassword("password", password, email);
    if (!allowed.ok) return allowed;
    const sagaId = keyed.value;
    /** What the same key has done before. */
    const earlier = async (): Promise<Result<Registered> | undefined> => {
      const found = key === undefined ? ok(undefined) : await store.findBySaga(sagaId, context);
      if (!found.ok) return found;
      return found.value === undefined ? undefined : replay(found.value, registration, context);
    };
    const before = await earlier();
    if (before !== undefined) return before;
    // Before the work of a hash; what counts is looked at again in the transaction.
    const taken = await store.isTaken(email, context);
    if (!taken.ok) return taken;
    // By the same request, it may be, which came a moment earlier.
    if (taken.value) return (await earlier()) ?? fail("conflict", "this address is taken");
    const hash = await passwords.hash(password, context);
    if (!hash.ok) return hash;
    const mailId = keyOf(sagaId, WELCOME_MAIL);
    const added = await store.create(
      { email, firstName, lastName, passwordHash: hash.value },
      { sagaId, mailId, contentHash: contentHashOf(registration) },
      async (sql, userId) => {
        const letter = welcomeLetter(from, email);
        await saga.start(sql, sagaId, { user_id: userId, email, mail_id: mailId, letter }, context);
        await links.send(sql, "verify_address", { id: userId, email }, context);
        const data = { action: "user.registered", by: `user:${userId}`, user_id: userId };
        await outbox.put(sql, [{ kind: "audit", data }], context);
      },
      context,
    );
    if (!added.ok) return added;
    // Somebody else came with the same key in the same moment.
    if (!added.value.created && key !== undefined) return replay(added.value.registered, registration, context);
    sagas.wake();
    outbox.ring();
    return ok({ view: registrationViewOf(added.value.registered), replayed: false });
  }

  return async (registration, key, context) => {
    const result = await decide(registration, key, context);
    const label = result.ok ? (result.value.replayed ? "replayed" : "created") : result.error.code;
    registrations.inc({ result: label });
    return result;
  };
}
