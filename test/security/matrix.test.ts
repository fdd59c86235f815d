/**
 * Every route of the broker with every credential. The routes are those of the running application, the rule is the one
 * of broker/access/rules.ts, and what has to come of the two is worked out here once more. A route without a rule fails.
 */
import { beforeAll, expect, test } from "bun:test";
import type { Scope } from "#contracts/scopes";
import {
  checkRules,
  isByAction,
  type Rule,
  RULES,
  type ScopeRule,
  type SimpleRule,
} from "../../broker/access/rules.ts";
import { brokers, until } from "../../broker/platform.test-kit.ts";
import {
  CREDENTIALS,
  makeAuth,
  others,
  prepare,
  SETTINGS,
  type Setting,
  type Verdict,
  withScopes,
} from "./credentials.ts";

beforeAll(prepare);
const { platform } = brokers();

/** A body that gets as far as access, and no further. */
const BODIES: Readonly<Record<string, unknown>> = {
  "POST /handle": { action: "log", log: { name: "matrix", data: 1 } },
};

const filled = (path: string): string => path.replaceAll(/:\w+/g, "7").replace("*", "x");

function rulesOf(rule: Rule): SimpleRule {
  return isByAction(rule) ? rule.actions.log : rule;
}

const scopeOf = (rule: SimpleRule): Scope | undefined => (typeof rule === "object" ? rule.scope : undefined);

async function started(setting: Setting) {
  const { auth, know } = makeAuth();
  const { app, runtime } = await platform({ AUTH_URL: auth.url, ...setting.env });
  const isUp = (name: string) => () =>
    runtime.health.report().dependencies.some((one) => one.name === name && one.state === "up");
  await until("keys and revocations", () => isUp("auth_keys")() && isUp("revocations")());
  const ask = (method: string, path: string, headers: Record<string, string>) =>
    fetch(`${app.url}${path}`, {
      method,
      redirect: "manual",
      headers: { ...(method.startsWith("P") ? { "content-type": "application/json" } : {}), ...know(headers) },
      ...(method.startsWith("P") ? { body: JSON.stringify(BODIES[`${method} ${path}`] ?? {}) } : {}),
    });
  return { app, auth, ask };
}

/** What access said, if it was access that said it. */
function saidBy({ status, headers }: Response, text: string): Verdict {
  if (status === 401 && headers.has("www-authenticate")) return 401;
  if (status === 403 && (headers.has("www-authenticate") || text.includes("for the session of a user"))) return 403;
  if (status === 400 && text.includes("one credential is needed")) return 400;
  return "passes";
}

const named = ({ method, path }: { readonly method: string; readonly path: string }): string => `${method} ${path}`;
const isAsked = ({ method }: { readonly method: string }): boolean => method !== "OPTIONS";

test.each(SETTINGS.map((setting) => [setting.what, setting] as const))(
  "[11] every route with every credential: %s",
  async (_what, setting) => {
    const { app, auth, ask } = await started(setting);
    const routes = [...new Map(app.routes.filter(isAsked).map((route) => [named(route), route])).values()];
    expect(routes.length).toBeGreaterThan(40);
    const wrong: string[] = [];
    let looked = 0;
    for (const route of routes) {
      const rule = RULES[named(route)];
      if (rule === undefined) {
        wrong.push(`${named(route)}: no rule`);
        continue;
      }
      const simple = rulesOf(rule);
      await Promise.all(
        CREDENTIALS.map(async (credential) => {
          const answer = await ask(route.method, filled(route.path), await credential.headers(scopeOf(simple)));
          const expected = credential.verdict(simple, setting);
          const seen = saidBy(answer, await answer.text());
          looked += 1;
          if (seen !== expected)
            wrong.push(`${named(route)} with ${credential.what}: ${seen} (${answer.status}), not ${expected}`);
        }),
      );
    }
    expect(wrong).toEqual([]);
    expect(looked).toBe(routes.length * CREDENTIALS.length);
    await auth.down();
  },
  120_000,
);

test("[11] actions of one body are judged each by its own scope, alone and in a batch", async () => {
  const setting = SETTINGS[2] as Setting;
  const { app, auth } = await started(setting);
  const rule = RULES["POST /handle"];
  if (rule === undefined || !isByAction(rule)) throw new Error("no rules of actions");
  const actions = {
    log: { name: "matrix", data: 1 },
    mail: { from: "a@b.example", to: "c@d.example", subject: "s", message: "m" },
  };
  const handle = async (body: unknown, headers: Record<string, string>) => {
    const answer = await fetch(`${app.url}/handle`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    return { status: answer.status, data: ((await answer.json()) as { data?: { status: number }[] }).data };
  };
  const names = Object.keys(actions) as (keyof typeof actions)[];
  for (const name of names) {
    const { scope } = rule.actions[name] as ScopeRule;
    const body = { action: name, [name]: actions[name] };
    expect([name, (await handle(body, {})).status]).toEqual([name, 401]);
    expect([name, (await handle(body, await withScopes(others(scope)))).status]).toEqual([name, 403]);
    expect([name, (await handle(body, await withScopes([scope]))).status]).toEqual([name, 202]);
    const batch = await handle(
      names.map((each) => ({ action: each, [each]: actions[each] })),
      await withScopes([scope]),
    );
    expect(batch.data?.map(({ status }) => status)).toEqual(names.map((each) => (each === name ? 202 : 403)));
  }
  await auth.down();
}, 30_000);

test("[11] no other way of writing a path gets past its rule", async () => {
  const { app, auth, ask } = await started(SETTINGS[2] as Setting);
  const closed = app.routes.filter(
    (route) => isAsked(route) && typeof RULES[named(route)] === "object" && route.path.length > 1,
  );
  expect(closed.length).toBeGreaterThan(15);
  for (const { method, path } of closed) {
    const plain = filled(path);
    const others = [
      `${plain}/`,
      `/${plain}`,
      `${plain}//`,
      plain.toUpperCase(),
      plain.replace(/^\/(.)/, (_all, letter: string) => `/%${letter.charCodeAt(0).toString(16)}`),
      `${plain};x=1`,
      `${plain}%00`,
      `${plain}.json`,
      `/x/..${plain}`,
      `/x/%2e%2e${plain}`,
    ];
    for (const other of others) {
      const answer = await ask(method, other, {});
      await answer.arrayBuffer();
      expect([method, other, [400, 401, 404, 405].includes(answer.status)]).toEqual([method, other, true]);
    }
    if (method !== "GET") continue;
    const head = await ask("HEAD", plain, {});
    expect(["HEAD", plain, head.status]).toEqual(["HEAD", plain, 401]);
  }
  await auth.down();
}, 60_000);

/** What anybody may, whatever is configured: a route that joins them is a decision that is seen here too. */
const FOR_EVERYBODY = [
  "GET /",
  "GET /.well-known/jwks.json",
  "GET /assets/account.js",
  "GET /assets/api.js",
  "GET /assets/console.css",
  "GET /assets/console.js",
  "GET /assets/mail.html",
  "GET /assets/mail.js",
  "GET /console",
  "GET /console/*",
  "GET /assets/page.css",
  "GET /metrics",
  "GET /openapi",
  "GET /openapi.json",
  "GET /ping",
  "GET /ready",
  "GET /reset-password",
  "GET /sessions",
  "GET /v1/health",
  "GET /v1/receipts/:id",
  "GET /v1/unsubscribe/:token",
  "GET /verify-address",
  "POST /v1/email-verifications",
  "POST /v1/email-verifications/confirm",
  "POST /v1/password-resets",
  "POST /v1/password-resets/confirm",
  "POST /v1/sessions",
  "POST /v1/sessions/refresh",
  "POST /v1/unsubscribe/:token",
  "POST /v1/users",
];
/** What anybody may where ACCESS is open. */
const WHERE_OPEN = [
  "POST /",
  "POST /handle (log)",
  "POST /handle (mail)",
  "POST /otlp/v1/logs",
  "POST /v1/logs",
  "POST /v1/mails",
];

test("[11] what anybody may is this and no more", () => {
  const isOpen = (rule: SimpleRule): boolean => typeof rule === "object" && rule.anonymous === "open";
  const open: string[] = [];
  for (const [name, rule] of Object.entries(RULES)) {
    const each = isByAction(rule) ? Object.entries(rule.actions) : [[undefined, rule] as const];
    for (const [action, simple] of each) {
      if (isOpen(simple)) open.push(action === undefined ? name : `${name} (${action})`);
    }
  }
  const everybody = Object.keys(RULES).filter((name) => RULES[name] === "public");
  expect(everybody.filter((name) => !FOR_EVERYBODY.includes(name))).toEqual([]);
  expect(open.toSorted()).toEqual(WHERE_OPEN);
});

test("[11] a route without a rule does not start, and no rule is for a route that is not there", async () => {
  expect(() => checkRules([{ method: "GET", path: "/v1/new" }])).toThrow("GET /v1/new");
  expect(() => checkRules([{ method: "GET", path: "/constructor" }])).toThrow("GET /constructor");
  const { app, auth } = await started(SETTINGS[0] as Setting);
  expect(() => checkRules(app.routes)).not.toThrow();
  const served = new Set(app.routes.map(named));
  expect(Object.keys(RULES).filter((name) => !served.has(name))).toEqual([]);
  await auth.down();
});
