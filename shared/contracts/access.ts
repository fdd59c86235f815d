/** Who may do what: scopes (RFC 6749 §3.3), and the roles that bundle them. Owner: auth; decided at the broker, and again by the owner. */
import { type Static, Type } from "@sinclair/typebox";
import { ROLES, type Role, type Scope, SCOPE_NAMES as NAMES } from "./scopes.ts";

export const ScopeName = Type.Union(
  NAMES.map((name) => Type.Literal(name)),
  { description: "What a credential is good for" },
);

export const RoleName = Type.Union([Type.Literal("member"), Type.Literal("operator"), Type.Literal("admin")]);

/** Scopes as a set without order; each once. */
export const Scopes = Type.Array(ScopeName, { maxItems: NAMES.length, uniqueItems: true });
export type Scopes = Static<typeof Scopes>;

/** Of a member only once his address is verified: anybody may register, and nobody sends mails from nowhere. */
const OF_VERIFIED_MEMBERS: ReadonlySet<Scope> = new Set(["mails:send"]);

/** All that a user may: by his role, and what he was given besides. In the order of `SCOPES`. */
export function scopesOf(role: Role, besides: readonly Scope[], { verified }: { verified: boolean }): Scope[] {
  const byRole: readonly Scope[] =
    role !== "member" || verified ? ROLES[role] : ROLES[role].filter((scope) => !OF_VERIFIED_MEMBERS.has(scope));
  const held = new Set<Scope>([...byRole, ...besides]);
  return NAMES.filter((name) => held.has(name));
}
