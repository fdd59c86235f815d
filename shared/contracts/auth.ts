/** Who is calling. Owner: auth. */
import { type Static, Type } from "@sinclair/typebox";
import { Address } from "./mail.ts";

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
  password: Type.String({ minLength: 8, maxLength: 1_024 }),
  first_name: Type.Optional(Type.String({ maxLength: 255, pattern: "^[^\\u0000]*$" })),
  last_name: Type.Optional(Type.String({ maxLength: 255, pattern: "^[^\\u0000]*$" })),
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
  Type.Object({ session_id: Type.String(), registration: Type.Optional(RegistrationState) }),
]);
export type MeView = Static<typeof MeView>;

/** The answer to a login: the user and his tokens. */
export const LoginReply = Type.Intersect([
  UserView,
  Type.Object({
    access_token: Type.String({ description: "JWT (RFC 9068), signed with EdDSA" }),
    refresh_token: Type.String({ description: "Opaque; works once" }),
    expires_in: Type.Integer({ description: "Seconds until the access token expires" }),
  }),
]);
export type LoginReply = Static<typeof LoginReply>;

/**
 * What an access token is, for who signs it and for who verifies it: a JWT as RFC 9068 profiles them, with
 * iss, aud, sub (the user's id), client_id, iat, exp, jti and sid (the session). Keys: `/.well-known/jwks.json`.
 */
export const ACCESS_TOKEN = {
  issuer: "platform-auth",
  audience: "platform",
  /** The platform's own pages and API: the one client there is. */
  clientId: "platform",
  type: "at+jwt",
  algorithm: "EdDSA",
  lifetimeS: 600,
} as const;
