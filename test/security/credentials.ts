/** For the matrix: how a broker may be set up, whatever somebody may show at its door, and what has to come of the two. */
import { SCOPES, type Scope } from "#contracts/scopes";
import type { Revocation } from "#contracts/identity";
import type { SimpleRule } from "../../broker/access/rules.ts";
import { makeAuthDouble, makeKey, revocationList, sign, type TestKey, USER } from "../../broker/auth.test-kit.ts";

const ALL = Object.keys(SCOPES) as Scope[];
const OPERATOR_TOKEN = "an-operators-token-that-nobody-else-has";
const REVOKED_SESSION = "session-that-was-ended";
const REVOKED_KEY = "01998f5e-7c10-7d01-9b3c-3f5e9d2a4c99";
const SOON = new Date(Date.now() + 3_600_000).toISOString();
const PAST = new Date(Date.now() - 1_000).toISOString();

export interface Setting {
  readonly what: string;
  readonly env: Record<string, string>;
  readonly access: "open" | "closed";
  /** Whether what is for developers is open to anybody. */
  readonly forDevelopers: boolean;
}

export const SETTINGS: readonly Setting[] = [
  { what: "a developer's machine", env: {}, access: "open", forDevelopers: true },
  { what: "with an operator's token", env: { OPERATOR_TOKEN }, access: "open", forDevelopers: false },
  { what: "closed", env: { ACCESS: "closed", OPERATOR_TOKEN }, access: "closed", forDevelopers: false },
  {
    what: "production, open",
    env: { ENVIRONMENT: "production", ACCESS: "open", OPERATOR_TOKEN, RATE_LIMITS: "off" },
    access: "open",
    forDevelopers: false,
  },
];

/** `passes`: whatever comes is not of access. */
export type Verdict = "passes" | 400 | 401 | 403;

export interface Credential {
  readonly what: string;
  /** @param needed the scope that the route is for; undefined where it is for none. */
  headers(needed: Scope | undefined): Record<string, string> | Promise<Record<string, string>>;
  verdict(rule: SimpleRule, setting: Setting): Verdict;
}

let key: TestKey;
let stranger: TestKey;

/** Makes the keys that tokens are signed with: auth's, and one that is nobody's. */
export async function prepare(): Promise<void> {
  [key, stranger] = await Promise.all([makeKey(), makeKey()]);
}

const bearer = async (options: Parameters<typeof sign>[1], by: TestKey = key) => ({
  authorization: `Bearer ${await sign(by, options)}`,
});
export const withScopes = (scopes: readonly Scope[], claims: Record<string, unknown> = {}) =>
  bearer({ claims: { scope: scopes.join(" "), ...claims } });
export const others = (needed: Scope | undefined): Scope[] => ALL.filter((scope) => scope !== needed);
/** The double of auth knows a key by what it is called. */
const apiKey = (name: string, scopes: readonly string[] = ALL) => ({
  "x-api-key": `pk_${name}_${scopes.map((scope) => scope.replace(":", "-")).join(".")}`,
});
const refused = (rule: SimpleRule): Verdict => (rule === "public" ? "passes" : 401);
const forUsersOnly = (rule: SimpleRule): Verdict => (rule === "session" ? 403 : "passes");

export const CREDENTIALS: readonly Credential[] = [
  {
    what: "none",
    headers: () => ({}),
    verdict(rule, { access, forDevelopers }) {
      if (rule === "public") return "passes";
      if (rule === "session" || access === "closed" || rule.anonymous === "never") return 401;
      return rule.anonymous === "open" || forDevelopers ? "passes" : 401;
    },
  },
  { what: "a token that is no JWT", headers: () => ({ authorization: "Bearer abc" }), verdict: refused },
  { what: "a token of another key", headers: () => bearer({ header: { kid: key.kid } }, stranger), verdict: refused },
  { what: "an expired token", headers: () => bearer({ livesS: -10 }), verdict: refused },
  {
    what: "a token of an ended session",
    headers: () => withScopes(ALL, { sid: REVOKED_SESSION }),
    verdict: refused,
  },
  {
    what: "a token from before a change of the user",
    headers: () => withScopes(ALL, { sub: "8", av: 1 }),
    verdict: refused,
  },
  { what: "a key that nobody has", headers: () => apiKey("unknown"), verdict: refused },
  { what: "what is no key", headers: () => ({ "x-api-key": "x" }), verdict: refused },
  { what: "an expired key", headers: () => apiKey("expired"), verdict: refused },
  { what: "a revoked key", headers: () => apiKey("revoked"), verdict: refused },
  {
    what: "a token with every scope but the right one",
    headers: (needed) => withScopes(others(needed)),
    verdict: (rule) => (rule === "public" || rule === "session" ? "passes" : 403),
  },
  {
    what: "a token without any scope",
    headers: () => withScopes([]),
    verdict: (rule) => (rule === "public" || rule === "session" ? "passes" : 403),
  },
  {
    what: "another service's key: every scope but the right one",
    headers: (needed) => apiKey("service", others(needed)),
    verdict: (rule) => (rule === "public" ? "passes" : 403),
  },
  {
    what: "the right scope, by a token",
    headers: (needed) => withScopes(needed === undefined ? ALL : [needed]),
    verdict: () => "passes",
  },
  {
    what: "the right scope, by a service's key",
    headers: (needed) => apiKey("service", needed === undefined ? ALL : [needed]),
    verdict: forUsersOnly,
  },
  {
    what: "the right scope, by a person's key",
    headers: (needed) => apiKey("person", needed === undefined ? ALL : [needed]),
    verdict: forUsersOnly,
  },
  {
    what: "two credentials at once",
    headers: async () => ({ ...(await withScopes(ALL)), ...apiKey("service") }),
    verdict: (rule) => (rule === "public" ? "passes" : 400),
  },
  {
    what: "the operator's token",
    headers: () => ({ authorization: `Bearer ${OPERATOR_TOKEN}` }),
    verdict(rule, { env }) {
      if (rule === "public") return "passes";
      if (env["OPERATOR_TOKEN"] === undefined) return 401;
      return rule === "session" || /^(users|keys):/.test(rule.scope) ? 403 : "passes";
    },
  },
];

/** Auth as access asks it, which refuses everything else by a 409 that nobody takes for a decision of access. */
export function makeAuth() {
  const auth = makeAuthDouble([key]);
  const revoked = (kind: Revocation["kind"], subject: string, more: object = {}): Revocation => ({
    id: Bun.randomUUIDv7(),
    kind,
    subject,
    at: new Date().toISOString(),
    expires_at: SOON,
    ...more,
  });
  auth.revocations = () =>
    revocationList([
      revoked("session", REVOKED_SESSION),
      revoked("user", "8", { access_version: 2 }),
      revoked("api_key", REVOKED_KEY),
    ]);
  const byText = new Map<
    string,
    { key_id: string; scopes: Scope[]; expires_at?: string; service?: string; user_id?: number }
  >();
  const know = (headers: Record<string, string>): Record<string, string> => {
    const text = headers["x-api-key"];
    const [, name = "", scopes = ""] = /^pk_([a-z]+)_(.*)$/.exec(text ?? "") ?? [];
    if (text === undefined || name === "" || name === "unknown") return headers;
    const hash = new Bun.CryptoHasher("sha256").update(text).digest("hex");
    byText.set(text, {
      key_id: name === "revoked" ? REVOKED_KEY : `key-${hash.slice(0, 16)}`,
      scopes: scopes
        .split(".")
        .filter((one) => one !== "")
        .map((one) => one.replace("-", ":") as Scope),
      ...(name === "expired" ? { expires_at: PAST } : {}),
      ...(name === "person" ? { user_id: USER.id } : { service: "elsewhere" }),
    });
    return headers;
  };
  auth.answer = ({ path, body }) => {
    const refusal = (status: number) => Response.json({ error: true, message: "refused by the double" }, { status });
    if (path !== "/api-keys/verify") return refusal(409);
    const holder = byText.get(String((body as { key?: unknown }).key));
    return holder === undefined ? refusal(401) : Response.json({ error: false, message: "", data: holder });
  };
  return { auth, know };
}
