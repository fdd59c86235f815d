/** Who may use a route, as the rules of access say: written into the description of each, so that both cannot differ. */
import { SCOPES } from "#contracts/scopes";
import { OPERATOR_SCOPES } from "../access/principal.ts";
import { isByAction, type Rule, ruleOf, type ScopeRule } from "../access/rules.ts";
import { eachOf, type Paths, refusal } from "./parts.ts";

interface Described {
  readonly description?: string;
  readonly security?: readonly Record<string, string[]>[];
  readonly responses: Readonly<Record<string, object>>;
}

const ANONYMOUS: Readonly<Record<ScopeRule["anonymous"], string>> = {
  never: "",
  open: " Where ACCESS is open, also without a credential.",
  development: " In development, where no OPERATOR_TOKEN is set, also without a credential.",
};

/** In OpenAPI 3.1 any scheme may name the scopes that are needed. */
function byScope({ scope, anonymous }: ScopeRule) {
  return [
    { accessToken: [scope] },
    { apiKey: [scope] },
    ...(OPERATOR_SCOPES.has(scope) ? [{ operatorToken: [] }] : []),
    ...(anonymous === "never" ? [] : [{}]),
  ];
}

function accessOf(rule: Rule) {
  if (rule === "public") return undefined;
  if (rule === "session") return { security: [{ accessToken: [] }], said: "" };
  if (isByAction(rule)) {
    const scopes = Object.entries(rule.actions).map(([action, its]) =>
      its === "public" ? `\`${action}\` is for everybody` : `\`${action}\` needs \`${its.scope}\``,
    );
    const security = [{ accessToken: [] }, { apiKey: [] }, { operatorToken: [] }, {}];
    return { security, said: `Scopes: ${scopes.join(", ")}.${ANONYMOUS.open}` };
  }
  const said = `Scope \`${rule.scope}\` (${SCOPES[rule.scope]}).${ANONYMOUS[rule.anonymous]}`;
  return { security: byScope(rule), said };
}

function refusalsOf(rule: Rule) {
  return {
    "401": refusal("No credential, or one that is not valid (any more)", "WWW-Authenticate"),
    "403":
      rule === "session"
        ? refusal("Not the access token of a user")
        : refusal("The credential does not have the scope", "WWW-Authenticate"),
  };
}

function sentences(...parts: (string | undefined)[]): { description?: string } {
  const text = parts.filter(Boolean).join(" ");
  return text === "" ? {} : { description: text };
}

/** @returns the same descriptions with `security`, what is needed in words, and the refusals that come of it. */
export function secured(paths: Paths<Described>) {
  return eachOf(paths, (described, path, method) => {
    const rule = ruleOf({ method: method.toUpperCase(), path: path.replaceAll(/\{(\w+)\}/g, ":$1") });
    const access = rule === undefined ? undefined : accessOf(rule);
    if (rule === undefined || access === undefined) return described;
    return {
      ...described,
      ...sentences(described.description, access.said),
      security: access.security,
      responses: { ...refusalsOf(rule), ...described.responses },
    };
  });
}
