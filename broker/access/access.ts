/** Finds out who is asking, and asks the rule of the route whether he may: for every request, before its handler. */
import { API_KEY_HEADER } from "#contracts/headers";
import type { Secret } from "#shared/config";
import { fail, ok, type Result } from "#shared/errors";
import { bearerOf, clientOf, contextOf } from "#shared/http";
import { type CallContext, type Metrics, quietContext } from "#shared/telemetry";
import { markDegraded, type Settable } from "../marks.ts";
import { namesBearer, orChallenge } from "../sessions/bearer.ts";
import type { Sessions } from "../sessions/sessions.ts";
import type { ApiKeys } from "./api-keys.ts";
import { isKnown, OPERATOR_SCOPES, type Principal, principalOf, remember } from "./principal.ts";
import { type ActionName, decide, isByAction, ruleOf, RULES, type ScopeRule, type Setting } from "./rules.ts";

/** How long it may take to look at a credential again (ms). */
const LOOK_AGAIN_MS = 2_000;

export interface AccessOptions {
  readonly access: Setting["access"];
  readonly environment: Setting["environment"];
  readonly operatorToken: Secret | undefined;
  readonly sessions: Pick<Sessions, "verify">;
  readonly apiKeys: Pick<ApiKeys, "find">;
  readonly metrics: Metrics;
}

interface Call {
  readonly request: Request;
  /** Of the route that was found, with the names of its parameters. */
  readonly route: string;
  readonly set: Settable;
}

export interface Access {
  /** Once a request, however often it is asked. @throws Failure `unauthenticated`, `forbidden`, with what the answer says of it in its headers; `unavailable`. */
  readonly enforce: (call: Call) => Promise<void>;
  /** Whether the one who asks may do an action of a body. */
  mayAct(request: Request, action: ActionName): Result<void>;
  /**
   * Whether an answer that goes on for long may go on: the credential is looked at anew, by the rule of its route. No only where
   * that is known; while auth is away whoever was let in stays.
   */
  stillMay(request: Request, route: string): Promise<boolean>;
  /** Whether the one who asks holds what `rule` wants, on a route that is for everybody. */
  holds(request: Request, rule: ScopeRule): Promise<boolean>;
}

export function makeAccess(options: AccessOptions): Access {
  const { access, environment, operatorToken, sessions, apiKeys, metrics } = options;
  const setting: Setting = { access, environment, hasOperatorToken: operatorToken !== undefined };
  const decisions = metrics.counter("broker_access_total", "Requests by who asks, and what the rule says to that.", [
    "who",
    "outcome",
  ]);
  const rules = RULES["POST /handle"];
  if (rules === undefined || !isByAction(rules)) throw new Error("POST /handle has no rules of its actions");
  const { actions } = rules;

  const nobody = (request: Request): Principal => ({ kind: "anonymous", address: clientOf(request).address });

  async function identify(request: Request, context: CallContext = contextOf(request)): Promise<Result<Principal>> {
    const key = request.headers.get(API_KEY_HEADER);
    const isBearer = namesBearer(request);
    if (key !== null && isBearer) return fail("malformed", "one credential is needed: Authorization or X-Api-Key");
    if (key !== null) {
      const found = await apiKeys.find(key, context);
      if (!found.ok) return found;
      const { holder, scopes, degraded } = found.value;
      return ok({
        kind: "key",
        keyId: holder.key_id,
        scopes,
        ...(holder.service === undefined ? {} : { service: holder.service }),
        ...(degraded === undefined ? {} : { degraded }),
      });
    }
    if (!isBearer) return ok(nobody(request));
    const token = bearerOf(request);
    if (token !== undefined && operatorToken?.is(token) === true) {
      return ok({ kind: "operator", scopes: OPERATOR_SCOPES });
    }
    const session = await sessions.verify(token, context);
    if (!session.ok) return session;
    return ok({ kind: "user", session: session.value, scopes: session.value.scopes });
  }

  return {
    async enforce({ request, route, set }) {
      if (isKnown(request)) return;
      const rule = ruleOf({ method: request.method, path: route });
      if (rule === undefined) throw new Error(`no rule for ${request.method} ${route}`);
      if (rule === "public") {
        remember(request, nobody(request));
        return;
      }
      const identified = await identify(request);
      if (!identified.ok) decisions.inc({ who: "nobody", outcome: identified.error.code });
      const principal = orChallenge(identified, request, set);
      const decided = isByAction(rule) ? ok() : decide(rule, principal, setting);
      decisions.inc({ who: principal.kind, outcome: decided.ok ? "granted" : decided.error.code });
      orChallenge(decided, request, set);
      remember(request, principal);
      if (principal.kind === "key") markDegraded(principal.degraded ?? {}, set);
    },

    mayAct: (request, action) => decide(actions[action], principalOf(request), setting),

    async stillMay(request, route) {
      const rule = RULES[route];
      if (rule === undefined || isByAction(rule)) return false;
      // The request's own time is long over.
      const identified = await identify(request, quietContext(LOOK_AGAIN_MS));
      const standing = identified.ok ? decide(rule, identified.value, setting) : identified;
      return standing.ok || (standing.error.code !== "unauthenticated" && standing.error.code !== "forbidden");
    },

    async holds(request, rule) {
      const identified = await identify(request);
      return identified.ok && decide(rule, identified.value, setting).ok;
    },
  };
}
