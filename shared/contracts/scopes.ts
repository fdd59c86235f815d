/** Scopes and roles by their names, in words; without schemas, so that pages can have them. Owner: auth. */

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

export const SCOPE_NAMES = Object.keys(SCOPES) as Scope[];

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
  admin: SCOPE_NAMES,
} as const satisfies Record<string, readonly Scope[]>;
export type Role = keyof typeof ROLES;
