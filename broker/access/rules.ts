/**
 * Who may use a route: the one place where it is decided. A route that is not here is closed, and the broker does not
 * start with it. Auth and the other owners decide again where something is theirs.
 */
import type { Scope } from "#contracts/scopes";
import { Failure, fail, ok, type Result } from "#shared/errors";
import type { Principal } from "./principal.ts";

/**
 * Who may without any credential: `open` where ACCESS is open; `development` only on a developer's machine besides, and
 * as long as no OPERATOR_TOKEN is set. Whoever shows a credential is judged by it, also where he could do without.
 */
export type Anonymous = "never" | "open" | "development";

/** For whoever holds the scope. */
export interface ScopeRule {
  readonly scope: Scope;
  readonly anonymous: Anonymous;
}

/**
 * `public`: everybody, and no credential is looked at. `session`: a user by the access token of his session; no key and no
 * OPERATOR_TOKEN, which nobody has logged in with.
 */
export type SimpleRule = "public" | "session" | ScopeRule;

/** Each action of the body by a rule of its own; a credential has to be valid whatever it is used for. */
export interface ActionRules {
  readonly actions: Readonly<Record<ActionName, "public" | ScopeRule>>;
}
export type ActionName = "auth" | "log" | "mail";

export type Rule = SimpleRule | ActionRules;

/** What it is decided by, besides route and credential. */
export interface Setting {
  readonly access: "open" | "closed";
  readonly environment: "development" | "production";
  readonly hasOperatorToken: boolean;
}

const by = (scope: Scope, anonymous: Anonymous = "never"): ScopeRule => ({ scope, anonymous });
const log = by("logs:write", "open");
const mail = by("mails:send", "open");

/** By method and path, as the application has them. HEAD is GET; OPTIONS is for browsers that ask what they may send. */
export const RULES: Readonly<Record<string, Rule>> = {
  "GET /ping": "public",
  "GET /ready": "public",
  "GET /metrics": "public",
  "GET /openapi.json": "public",
  "GET /.well-known/jwks.json": "public",
  "GET /": "public",
  "GET /openapi": "public",
  "GET /assets/page.css": "public",
  "GET /console": "public",
  "GET /console/*": "public",
  "GET /assets/console.js": "public",
  "GET /assets/console.css": "public",
  "GET /assets/mail.html": "public",
  "GET /assets/mail.js": "public",
  "GET /assets/api.js": "public",
  "GET /assets/account.js": "public",
  // Where links in mails lead.
  "GET /verify-address": "public",
  "GET /reset-password": "public",
  "GET /sessions": "public",

  "POST /": log,
  "POST /v1/logs": log,
  "POST /otlp/v1/logs": log,
  "POST /handle": { actions: { auth: "public", log, mail } },

  // Who has an id, which nobody guesses, may ask what became of it.
  "GET /v1/receipts/:id": "public",
  // Errors in it are for `platform:read`: see v1/routes.ts.
  "GET /v1/health": "public",

  "POST /v1/users": "public",
  "GET /v1/users": by("users:read"),
  "GET /v1/users/:id": by("users:read"),
  "PATCH /v1/users/:id": by("users:manage"),
  "DELETE /v1/users/:id": by("users:manage"),
  "GET /v1/users/:id/sessions": by("users:read"),
  "DELETE /v1/users/:id/sessions": by("users:manage"),
  "GET /v1/me": "session",
  "PATCH /v1/me": "session",
  "PUT /v1/me/password": "session",
  "POST /v1/sessions": "public",
  "POST /v1/sessions/refresh": "public",
  "GET /v1/sessions": "session",
  "DELETE /v1/sessions": "session",
  "DELETE /v1/sessions/current": "session",
  "DELETE /v1/sessions/:id": "session",
  "POST /v1/email-verifications": "public",
  "POST /v1/email-verifications/confirm": "public",
  "POST /v1/password-resets": "public",
  "POST /v1/password-resets/confirm": "public",
  // A key that could make keys would outlive its own revocation.
  "GET /v1/api-keys": "session",
  "POST /v1/api-keys": "session",
  "DELETE /v1/api-keys/:id": "session",
  "POST /v1/api-keys/:id/rotate": "session",

  "POST /v1/mails": mail,
  "GET /v1/mails": by("mails:read", "development"),
  "GET /v1/mails/:id": by("mails:read", "development"),
  "GET /v1/mails/:id/content": by("mails:read", "development"),
  "POST /v1/mails/:id/resolve": by("mails:manage", "development"),
  "POST /v1/mails/:id/cancel": by("mails:manage", "development"),
  "GET /v1/suppressions": by("mails:read", "development"),
  "POST /v1/suppressions": by("mails:manage", "development"),
  "DELETE /v1/suppressions/:address": by("mails:manage", "development"),
  "POST /v1/bounces": by("mails:manage", "development"),
  "GET /v1/templates": by("mails:read", "development"),
  "POST /v1/templates/:name/preview": by("mails:read", "development"),
  // Recipients of mails, by the link that they were sent.
  "GET /v1/unsubscribe/:token": "public",
  "POST /v1/unsubscribe/:token": "public",

  "GET /v1/events/queues": by("events:read", "development"),
  "GET /v1/events/dead-letters": by("events:read", "development"),
  "POST /v1/events/dead-letters/replay": by("events:manage", "development"),
  "POST /v1/events/dead-letters/drop": by("events:manage", "development"),
  "GET /v1/log-levels": by("platform:read", "development"),
  "PUT /v1/log-levels": by("platform:manage", "development"),
  "GET /v1/platform/figures": by("platform:read", "development"),
  "GET /v1/platform/figures/:part": by("platform:read", "development"),
  "GET /v1/chaos": by("platform:read", "development"),
  "POST /v1/chaos/experiments": by("platform:manage", "development"),
  "GET /v1/chaos/experiments/:id": by("platform:read", "development"),
  "POST /v1/chaos/experiments/:id/heal": by("platform:manage", "development"),
  "DELETE /v1/chaos/experiments/:id": by("platform:manage", "development"),
  "GET /v1/chaos/reports/:id": by("platform:read", "development"),
  "GET /v1/logs": by("logs:read", "development"),
  "GET /v1/logs/histogram": by("logs:read", "development"),
  "GET /v1/logs/export": by("logs:read", "development"),
  "GET /v1/logs/:id": by("logs:read", "development"),
  "GET /v1/logs/sizes": by("logs:read", "development"),
  "GET /v1/logs/gaps": by("logs:read", "development"),
  "GET /v1/logs/tail": by("logs:read", "development"),
  "GET /v1/logs/audit": by("logs:read", "development"),
  "GET /v1/traces": by("logs:read", "development"),
  "GET /v1/traces/:id": by("logs:read", "development"),
};

export function isByAction(rule: Rule): rule is ActionRules {
  return typeof rule === "object" && "actions" in rule;
}

export interface Route {
  readonly method: string;
  readonly path: string;
}

/** The rule of a route; undefined where there is none. */
export function ruleOf({ method, path }: Route): Rule | undefined {
  const name = `${method === "HEAD" ? "GET" : method} ${path}`;
  return Object.hasOwn(RULES, name) ? RULES[name] : undefined;
}

/** @throws Error that names the routes without a rule: nobody has decided who may use them. */
export function checkRules(routes: readonly Route[]): void {
  const open = routes.filter((route) => route.method !== "OPTIONS" && ruleOf(route) === undefined);
  if (open.length === 0) return;
  const names = [...new Set(open.map(({ method, path }) => `${method} ${path}`))];
  throw new Error(`no rule in broker/access/rules.ts for ${names.join(", ")}`);
}

/** Known, and without the scope that is needed (RFC 6750 §3.1 `insufficient_scope`). */
export class InsufficientScope extends Failure {
  readonly scope: Scope;
  constructor(scope: Scope) {
    super("forbidden", `the scope ${scope} is needed`);
    this.scope = scope;
  }
}

/** @returns failure `unauthenticated` where somebody has to be known, `forbidden` where it is not for him. */
export function decide(rule: SimpleRule, principal: Principal, setting: Setting): Result<void> {
  if (rule === "public") return ok();
  const { kind } = principal;
  if (rule === "session") {
    if (kind === "anonymous") return fail("unauthenticated", "a bearer token is needed");
    return kind === "user" ? ok() : fail("forbidden", "this is for the session of a user: log in");
  }
  if (kind === "anonymous") {
    return isOpen(rule.anonymous, setting)
      ? ok()
      : fail("unauthenticated", `a credential with ${rule.scope} is needed`);
  }
  return principal.scopes.has(rule.scope) ? ok() : { ok: false, error: new InsufficientScope(rule.scope) };
}

function isOpen(anonymous: Anonymous, { access, environment, hasOperatorToken }: Setting): boolean {
  if (anonymous === "never" || access === "closed") return false;
  return anonymous === "open" || (environment === "development" && !hasOperatorToken);
}
