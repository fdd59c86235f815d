/** Who may do what: scopes (RFC 6749 §3.3), and the roles that bundle them. Owner: auth; decided at the broker, and again by the owner. */
import { type Static, Type } from "@sinclair/typebox";

/** What a credential may be good for. A retired name is never used again. */
export const SCOPES = {
  "logs:write": "store log entries",
  "logs:read": "query, follow and export log entries, gaps and traces",
  "mails:send": "send mails",
  "mails:read": "look at mails, templates, suppressions and webhooks",
  "mails:manage": "decide, cancel and resend mails; change templates, suppressions and webhooks",
  "events:read": "look at queues and dead letters",
  "events:manage": "replay and drop dead letters",
  "platform:read": "see the figures of the platform, the last errors in its health, and the levels of its logs",
  "platform:manage": "change the levels of the services' logs while they run",
  "users:read": "look at users, their sessions and their API keys",
  "users:manage": "create, change, deactivate and delete users; end their sessions",
  "keys:manage": "make and revoke API keys of services and of other users",
} as const;
export type Scope = keyof typeof SCOPES;

const NAMES = Object.keys(SCOPES) as Scope[];

export const ScopeName = Type.Union(
  NAMES.map((name) => Type.Literal(name)),
  { description: "What a credential is good for" },
);

export function isScope(text: string): text is Scope {
  return Object.hasOwn(SCOPES, text);
}

/** Whatever a user may, he may with his scopes; a role is a name for some of them. */
export const ROLES = {
  member: ["logs:write", "mails:send"],
  operator: [
    "logs:write",
    "logs:read",
    "mails:send",
    "mails:read",
    "mails:manage",
    "events:read",
    "events:manage",
    "platform:read",
    "platform:manage",
  ],
  admin: NAMES,
} as const satisfies Record<string, readonly Scope[]>;
export type Role = keyof typeof ROLES;

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
