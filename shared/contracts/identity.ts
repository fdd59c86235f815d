/** What auth tells everybody at once: which sessions, tokens and keys no longer count, and what changed. Owner: auth. */
import { type Static, Type } from "@sinclair/typebox";

/** Topic exchange, durable; routing keys `session.revoked`, `user.changed`, `api_key.revoked`, `signing_keys.changed`. */
export const IDENTITY_EXCHANGE = "identity";

/**
 * Something ends before its own time is over.
 *
 * - `session`: `subject` is the session's id (claim `sid`): its access tokens count no longer.
 * - `user`: `subject` is the user's id: access tokens whose claim `av` is below `access_version` count no longer (his
 *   role, scopes or activity changed; refreshing gives a token with the new ones, where he is still active), and what is remembered of him is stale.
 *   Where only other fields changed, `access_version` is the one that he had: tokens stay, memory is stale.
 * - `api_key`: `subject` is the key's id.
 */
export const Revocation = Type.Object({
  /** UUIDv7; the same one told twice is the same one. */
  id: Type.String({ minLength: 1, maxLength: 64 }),
  kind: Type.Union([Type.Literal("session"), Type.Literal("user"), Type.Literal("api_key")]),
  subject: Type.String({ minLength: 1, maxLength: 64 }),
  access_version: Type.Optional(Type.Integer({ minimum: 1 })),
  /** RFC 3339. */
  at: Type.String(),
  /** From then on nothing lives that it could end (RFC 3339). */
  expires_at: Type.String(),
});
export type Revocation = Static<typeof Revocation>;

/** `data` of auth's `GET /revocations?since=`: those that still matter, oldest first. `as_of` is what to ask with the next time. */
export const RevocationList = Type.Object({
  items: Type.Array(Revocation),
  as_of: Type.String(),
  /** More follow: ask again with `as_of`. */
  more: Type.Boolean(),
});
export type RevocationList = Static<typeof RevocationList>;

export const routingKeyOfRevocation = ({ kind }: Pick<Revocation, "kind">): string =>
  ({ session: "session.revoked", user: "user.changed", api_key: "api_key.revoked" })[kind];
/** A signing key was added or retired: read the key set again. The body is an empty object. */
export const SIGNING_KEYS_CHANGED = "signing_keys.changed";
