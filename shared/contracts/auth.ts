/** Who is calling. Owner: auth. */
import { type Static, Type } from "@sinclair/typebox";
import { RoleName, Scopes } from "./access.ts";
import { Address } from "./mail.ts";

const Name = Type.String({ maxLength: 255, pattern: "^[^\\u0000]*$" });
/** At least 8 characters (NIST SP 800-63B §5.1.1.2); the most common ones are refused beside (docs/passwords.md). */
const NewPassword = Type.String({ minLength: 8, maxLength: 1_024 });
const Time = Type.String({ description: "RFC 3339, UTC" });
const OneTimeToken = Type.String({ minLength: 20, maxLength: 128, pattern: "^[\\w-]+$" });

/** What a login is made of. Longer than any password that is hashed: it is refused before it costs anything. */
export const Credentials = Type.Object({
  email: Type.String({ minLength: 1, maxLength: 255 }),
  password: Type.String({ minLength: 1, maxLength: 1_024 }),
});
export type Credentials = Static<typeof Credentials>;

/** A user as anybody may see him: never the password. Times are RFC 3339 in UTC. */
export const UserView = Type.Object({
  id: Type.Integer(),
  email: Type.String(),
  first_name: Type.String(),
  last_name: Type.String(),
  active: Type.Integer({ description: "1 active, 0 not" }),
  created_at: Type.String(),
  updated_at: Type.String(),
});
export type UserView = Static<typeof UserView>;

/** Body of `POST /users`: somebody registers. */
export const Registration = Type.Object({
  email: Address,
  password: NewPassword,
  first_name: Type.Optional(Name),
  last_name: Type.Optional(Name),
});
export type Registration = Static<typeof Registration>;

/**
 * How far a registration has come (docs/workflows.md). `mail_refused`: the welcome mail cannot be delivered to that
 * address; the user is marked, and may log in.
 */
export const RegistrationState = Type.Union([
  Type.Literal("pending"),
  Type.Literal("complete"),
  Type.Literal("mail_refused"),
]);
export type RegistrationState = Static<typeof RegistrationState>;

/** `data` of `POST /users` and of `GET /users/:id/registration`. */
export const RegistrationView = Type.Intersect([
  UserView,
  Type.Object({ registration: RegistrationState, mail_id: Type.String({ description: "id of the welcome mail" }) }),
]);
export type RegistrationView = Static<typeof RegistrationView>;

/** `data` of `GET /me`: the user of a session, by its access token. */
export const MeView = Type.Intersect([
  UserView,
  Type.Object({
    session_id: Type.String(),
    registration: Type.Optional(RegistrationState),
    role: RoleName,
    scopes: Scopes,
    /** Whether he has shown that the address is his. */
    email_verified: Type.Boolean(),
    /** For the next change: see `version` of `PATCH /me`. */
    version: Type.Integer(),
  }),
]);
export type MeView = Static<typeof MeView>;

const TOKENS = {
  access_token: Type.String({ description: "JWT (RFC 9068), signed with EdDSA" }),
  refresh_token: Type.String({ description: "Opaque; works once" }),
  expires_in: Type.Integer({ description: "Seconds until the access token expires" }),
  refresh_expires_in: Type.Integer({ description: "Seconds until the session ends, if it is not used before" }),
};

/** The answer to a login: the user and his tokens. */
export const LoginReply = Type.Intersect([MeView, Type.Object(TOKENS)]);
export type LoginReply = Static<typeof LoginReply>;

/** Body of `POST /sessions/refresh`. */
export const RefreshRequest = Type.Object({ refresh_token: Type.String({ minLength: 20, maxLength: 512 }) });
export type RefreshRequest = Static<typeof RefreshRequest>;

/** `data` of `POST /sessions/refresh`: tokens of the same session. The refresh token that was given works no longer (but see docs/sessions.md, "A lost answer"). */
export const TokenReply = Type.Object({ ...TOKENS, session_id: Type.String() });
export type TokenReply = Static<typeof TokenReply>;

const TOKENS_GIVEN = {
  ...TOKENS,
  refresh_token: Type.Optional(
    Type.String({ description: "Opaque; works once. Absent where `X-Session: cookie` has put it into a cookie" }),
  ),
};
/** Both, as the broker's clients get them. */
export const LoginGiven = Type.Intersect([MeView, Type.Object(TOKENS_GIVEN)]);
export const TokensGiven = Type.Object({ ...TOKENS_GIVEN, session_id: Type.String() });

/** One login that has not ended. */
export const SessionView = Type.Object({
  id: Type.String(),
  user_id: Type.Integer(),
  created_at: Time,
  /** Of the last login or refresh. */
  used_at: Time,
  expires_at: Time,
  /** Where from, as the broker saw it; as text, never trusted for anything. */
  address: Type.Optional(Type.String()),
  agent: Type.Optional(Type.String()),
  /** It is the one that asks. */
  current: Type.Boolean(),
});
export type SessionView = Static<typeof SessionView>;

export const SessionPage = Type.Object({
  items: Type.Array(SessionView),
  next_cursor: Type.Optional(Type.String()),
});
export type SessionPage = Static<typeof SessionPage>;

/** `data` of what ends sessions: how many. */
export const SessionsEnded = Type.Object({ ended: Type.Integer() });
export type SessionsEnded = Static<typeof SessionsEnded>;

/** A user as those see him who manage users. */
export const ManagedUser = Type.Intersect([
  UserView,
  Type.Object({
    role: RoleName,
    /** Given besides those of the role. */
    extra_scopes: Scopes,
    /** All of them together. */
    scopes: Scopes,
    email_verified: Type.Boolean(),
    /** Grows with every change. A change names the version that it was made from: another one is 409. */
    version: Type.Integer(),
    last_login_at: Type.Optional(Time),
  }),
]);
export type ManagedUser = Static<typeof ManagedUser>;

export const ManagedUserPage = Type.Object({
  items: Type.Array(ManagedUser),
  next_cursor: Type.Optional(Type.String()),
});
export type ManagedUserPage = Static<typeof ManagedUserPage>;

/** Query of `GET /users`, beside `limit` (1 to 200, default 50) and `cursor`. Newest first. */
export const UserFilter = Type.Object({
  /** Part of address or name, without regard to case. */
  q: Type.Optional(Type.String({ minLength: 1, maxLength: 255, pattern: "^[^\\u0000]*$" })),
  role: Type.Optional(RoleName),
  active: Type.Optional(Type.Union([Type.Literal("true"), Type.Literal("false")])),
});
export type UserFilter = Static<typeof UserFilter>;

/** Body of `PATCH /users/:id`: what is absent stays. */
export const UserPatch = Type.Object({
  version: Type.Integer({ minimum: 1 }),
  email: Type.Optional(Address),
  first_name: Type.Optional(Name),
  last_name: Type.Optional(Name),
  active: Type.Optional(Type.Boolean({ description: "false: his sessions end, and he cannot log in" })),
  role: Type.Optional(RoleName),
  extra_scopes: Type.Optional(Scopes),
});
export type UserPatch = Static<typeof UserPatch>;

/** Body of `PATCH /me`. */
export const MePatch = Type.Object({
  version: Type.Integer({ minimum: 1 }),
  first_name: Type.Optional(Name),
  last_name: Type.Optional(Name),
});
export type MePatch = Static<typeof MePatch>;

/** Body of `PUT /me/password`: all other sessions of the user end. */
export const PasswordChange = Type.Object({
  current_password: Type.String({ minLength: 1, maxLength: 1_024 }),
  new_password: NewPassword,
});
export type PasswordChange = Static<typeof PasswordChange>;

/** Body of `POST /password-resets` and `POST /email-verifications`: the answer is the same whoever has the address. */
export const AddressRequest = Type.Object({ email: Address });
export type AddressRequest = Static<typeof AddressRequest>;

/** Body of `POST /email-verifications/confirm`: the token of the mail's link. */
export const ConfirmRequest = Type.Object({ token: OneTimeToken });
export type ConfirmRequest = Static<typeof ConfirmRequest>;

/** Body of `POST /password-resets/confirm`: all sessions of the user end. */
export const ResetRequest = Type.Object({ token: OneTimeToken, new_password: NewPassword });
export type ResetRequest = Static<typeof ResetRequest>;

/** Name of a service that calls with a key. */
const ServiceName = Type.String({ pattern: "^[a-z][a-z0-9-]{0,62}$" });

/** Body of `POST /api-keys`: of a service where `service` is given (needs `keys:manage`), else of the caller, with scopes that he has himself. */
export const ApiKeyRequest = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 100, pattern: "^[^\\u0000-\\u001f]*$" }),
  service: Type.Optional(ServiceName),
  scopes: Scopes,
  expires_at: Type.Optional(Time),
});
export type ApiKeyRequest = Static<typeof ApiKeyRequest>;

/** Body of `POST /api-keys/:id/rotate`: how long the old key goes on working (s, default one day, 0 to 30 days). */
export const ApiKeyRotation = Type.Object({
  overlap_s: Type.Optional(Type.Integer({ minimum: 0, maximum: 2_592_000 })),
});
export type ApiKeyRotation = Static<typeof ApiKeyRotation>;

/** A key as it is shown: never the secret. */
export const ApiKeyView = Type.Object({
  id: Type.String(),
  name: Type.String(),
  /** What it begins with, to tell it from others. */
  prefix: Type.String(),
  user_id: Type.Optional(Type.Integer()),
  service: Type.Optional(Type.String()),
  scopes: Scopes,
  created_at: Time,
  expires_at: Type.Optional(Time),
  /** To the minute. */
  last_used_at: Type.Optional(Time),
  revoked_at: Type.Optional(Time),
  /** The key that took its place. */
  rotated_to: Type.Optional(Type.String()),
});
export type ApiKeyView = Static<typeof ApiKeyView>;

/** A key that has just been made: the only time that `key` is shown. */
export const NewApiKey = Type.Intersect([ApiKeyView, Type.Object({ key: Type.String() })]);
export type NewApiKey = Static<typeof NewApiKey>;

export const ApiKeyPage = Type.Object({
  items: Type.Array(ApiKeyView),
  next_cursor: Type.Optional(Type.String()),
});
export type ApiKeyPage = Static<typeof ApiKeyPage>;

/**
 * Query of `GET /api-keys`, beside `limit` (1 to 200, default 50) and `cursor`; newest first. Without either of these they are the caller's own;
 * others' need `users:read` or `keys:manage`.
 */
export const ApiKeyFilter = Type.Object({
  user_id: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_147_483_647 })),
  service: Type.Optional(
    Type.String({
      pattern: "^(\\*|[a-z][a-z0-9-]{0,62})$",
      description: "Name of a service; * for those of all services",
    }),
  ),
});
export type ApiKeyFilter = Static<typeof ApiKeyFilter>;

/** Body of auth's `POST /api-keys/verify`. */
export const ApiKeyCheck = Type.Object({ key: Type.String({ minLength: 1, maxLength: 512 }) });

/** `data` of auth's `POST /api-keys/verify`: whose key it is, for the broker. */
export const KeyHolder = Type.Object({
  key_id: Type.String(),
  user_id: Type.Optional(Type.Integer()),
  service: Type.Optional(Type.String()),
  /** Of the key; of a user's, those that he has himself still. */
  scopes: Scopes,
  expires_at: Type.Optional(Time),
});
export type KeyHolder = Static<typeof KeyHolder>;

/**
 * What an access token is, for who signs it and for who verifies it: a JWT as RFC 9068 profiles them, with
 * iss, aud, sub (the user's id), client_id, iat, exp, jti, auth_time, scope (RFC 8693 §4.2: words with spaces between), roles (a list),
 * sid (the session) and av (the user's access_version: contracts/identity.ts). Keys: `/.well-known/jwks.json`.
 */
export const ACCESS_TOKEN = {
  issuer: "platform-auth",
  audience: "platform",
  /** The platform's own pages and API: the one client there is. */
  clientId: "platform",
  type: "at+jwt",
  algorithm: "EdDSA",
  lifetimeS: 600,
  /** How long others may keep the key set (s): a new key is published longer than that before it signs. */
  keySetMaxAgeS: 60,
} as const;
