/** Who may use which route: every one of the application's, with every kind of credential, through the broker's door. */
import { expect, test } from "bun:test";
import { SCOPES, type Scope } from "#contracts/scopes";
import type { KeyHolder } from "#contracts/auth";
import { OPERATOR_TOKEN, versionedBrokers } from "../v1/v1.test-kit.ts";
import { checkRules, isByAction, type Route, type Rule, ruleOf, RULES } from "./rules.ts";

const { broker, sessionToken } = versionedBrokers();

const API_KEY = `pk_AZmPXnwQegCLPD9enSpMEQ_${"x".repeat(43)}`;
const ALL = Object.keys(SCOPES) as Scope[];

test("every route of the broker has a rule, and every rule a route", async () => {
  const { app } = await broker();
  const routes = app.routes.filter(({ method }) => method !== "OPTIONS").map(({ method, path }) => `${method} ${path}`);
  expect(Object.keys(RULES).toSorted()).toEqual([...new Set(routes)].toSorted());
});

test("a route without a rule is refused at start, by its name", () => {
  const routes = [
    { method: "GET", path: "/ping" },
    { method: "OPTIONS", path: "/*" },
    { method: "POST", path: "/ping" },
    { method: "GET", path: "/v1/constructor" },
  ];
  expect(() => checkRules(routes)).toThrow("for POST /ping, GET /v1/constructor");
  expect(() => checkRules(routes.slice(0, 2))).not.toThrow();
});

/** What is asked of each route: enough to get past access, and hardly further. */
function ask(url: string, { method, path }: Route, headers: Record<string, string>) {
  const target = path.replaceAll(/:\w+/g, "1");
  const hasBody = ["POST", "PUT", "PATCH"].includes(method);
  return fetch(`${url}${target}`, {
    method,
    headers: hasBody ? { "content-type": "application/json", ...headers } : headers,
    ...(hasBody ? { body: target === "/handle" ? JSON.stringify([LOG, MAIL]) : "{}" } : {}),
  });
}
const LOG = { action: "log", log: { name: "n", data: "d" } };
const MAIL = { action: "mail", mail: { from: "a@example.com", to: "b@example.com", subject: "s", message: "m" } };

/** 401 or 403 where access refuses; `in` for anything else, whatever the route makes of the request. */
async function outcomeOf(answer: Response): Promise<string> {
  const { status } = answer;
  const challenge = answer.headers.get("www-authenticate");
  if (status === 207) {
    const { data } = (await answer.json()) as { data: { status: number }[] };
    return data.map((item) => (item.status === 401 || item.status === 403 ? item.status : "in")).join();
  }
  await answer.body?.cancel();
  if (status === 401) return challenge?.startsWith('Bearer realm="platform"') ? "401" : "401 without a challenge";
  return status === 403 ? "403" : "in";
}

/** By the rule alone. @param scopes undefined: nobody is known. */
function expected(rule: Rule, scopes: readonly Scope[] | undefined, isUser: boolean, setting: Setting): string {
  if (rule === "public") return "in";
  if (isByAction(rule)) {
    const { log, mail } = rule.actions;
    return [log, mail].map((one) => expected(one, scopes, isUser, setting)).join();
  }
  if (rule === "session") return scopes === undefined ? "401" : isUser ? "in" : "403";
  if (scopes !== undefined) return scopes.includes(rule.scope) ? "in" : "403";
  const { anonymous } = rule;
  const isOpen = anonymous !== "never" && setting.access === "open" && (anonymous === "open" || setting.isDevelopment);
  return isOpen ? "in" : "401";
}

/** The same claims under another signature, by a key that is known. */
function forge(token: string): string {
  const [header, claims, signature = ""] = token.split(".");
  return [header, claims, signature.replace(/^./, (first) => (first === "A" ? "B" : "A"))].join(".");
}

interface Setting {
  readonly access: "open" | "closed";
  /** And no token set. */
  readonly isDevelopment: boolean;
}

test.each<[string, Record<string, string>, Setting]>([
  ["development", {}, { access: "open", isDevelopment: true }],
  ["development, closed", { ACCESS: "closed" }, { access: "closed", isDevelopment: true }],
  ["development with a token", { OPERATOR_TOKEN }, { access: "open", isDevelopment: false }],
  ["production, open", { ENVIRONMENT: "production", ACCESS: "open" }, { access: "open", isDevelopment: false }],
  ["production, closed", { ENVIRONMENT: "production", ACCESS: "closed" }, { access: "closed", isDevelopment: false }],
])(
  "%s: each route with no credential, a wrong one, and with or without each scope",
  async (_name, env, setting) => {
    const { app, auth } = await broker({ RECEIPT_SECRET: "x".repeat(32), ...env });
    let holder: KeyHolder = { key_id: "none", scopes: [] };
    auth.answer = ({ path }) =>
      path === "/api-keys/verify" && holder.key_id !== "none"
        ? Response.json({ error: false, message: "API key", data: holder })
        : path === "/api-keys/verify"
          ? Response.json({ error: true, message: "no" }, { status: 401 })
          : Response.json({ error: true, message: "no such thing" }, { status: 404 });
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
    const routes = app.routes.filter(({ method }) => method !== "OPTIONS");
    const told: string[] = [];
    const wanted: string[] = [];
    const check = async (route: Route, who: string, headers: Record<string, string>, want: string) => {
      const name = `${route.method} ${route.path}, ${who}: `;
      wanted.push(name + want);
      told.push(name + (await outcomeOf(await ask(app.url, route, headers))));
    };
    // Each by a key of its own: what one is good for is remembered.
    let made = 0;
    const keyWith = (scopes: Scope[]) => {
      made += 1;
      holder = { key_id: `key-${made}`, service: "billing", scopes };
      return { "x-api-key": `${API_KEY}${made}` };
    };

    const [none, all, expired] = await Promise.all([
      sessionToken({ claims: { scope: "" } }),
      sessionToken({ claims: { scope: ALL.join(" ") } }),
      sessionToken({ livesS: -60 }),
    ]);
    const forged = forge(all);
    for (const route of routes) {
      const rule = ruleOf(route) ?? "public";
      const refused = rule === "public" ? "in" : "401";
      await check(route, "nobody", {}, expected(rule, undefined, false, setting));
      await check(route, "an expired token", bearer(expired), refused);
      await check(route, "a forged token", bearer(forged), refused);
      await check(route, "a user without scopes", bearer(none), expected(rule, [], true, setting));
      await check(route, "a user with all", bearer(all), expected(rule, ALL, true, setting));
      if (rule === "public") continue;
      await check(route, "a key without scopes", keyWith([]), expected(rule, [], false, setting));
      await check(route, "a key with all", keyWith(ALL), expected(rule, ALL, false, setting));
      holder = { key_id: "none", scopes: [] };
      await check(route, "a key of nobody", { "x-api-key": `${API_KEY}none` }, "401");
      if (typeof rule === "object" && !isByAction(rule)) {
        const others = ALL.filter((scope) => scope !== rule.scope);
        await check(route, "a key with all others", keyWith(others), "403");
        await check(route, "a key with this one", keyWith([rule.scope]), "in");
      }
      if (env["OPERATOR_TOKEN"] === undefined) continue;
      const his = ALL.filter((scope) => !scope.startsWith("users:") && !scope.startsWith("keys:"));
      await check(route, "the operator", bearer(OPERATOR_TOKEN), expected(rule, his, false, setting));
    }
    expect(told).toEqual(wanted);
    expect(told.length).toBeGreaterThan(300);
  },
  60_000,
);

test("HEAD is GET, a slash at the end changes nothing, and no path is no rule", async () => {
  const { app } = await broker({ ACCESS: "closed" });
  const status = async (method: string, path: string) => (await fetch(`${app.url}${path}`, { method })).status;
  expect(await status("HEAD", "/v1/users")).toBe(401);
  expect(await status("GET", "/v1/users/")).toBe(401);
  expect(await status("POST", "/handle/")).not.toBe(500);
  expect(await status("HEAD", "/ping")).toBe(200);
  expect(await status("GET", "/v1/nothing")).toBe(404);
  expect(await status("PUT", "/v1/users")).toBe(405);
});

test("whom a route is not for is told so before his body is read", async () => {
  const { app } = await broker({ ACCESS: "closed" });
  const { port } = new URL(app.url);
  const head = `POST /v1/mails HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{`;
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: Number(port),
    socket: {
      open: (opened) => void opened.write(head),
      data: (_socket, bytes) => resolve(new TextDecoder().decode(bytes)),
      close: () => resolve("closed without an answer"),
    },
  });
  // A body that does not come is waited for, for 8 s.
  const startedAt = performance.now();
  expect((await promise).split("\r\n")[0]).toBe("HTTP/1.1 401 Unauthorized");
  expect(performance.now() - startedAt).toBeLessThan(6_000);
  socket.end();
});

test("what was not read of a refused body is no request of its own", async () => {
  const { app } = await broker({ ACCESS: "closed" });
  const { port } = new URL(app.url);
  const host = `Host: localhost:${port}`;
  const hidden = `GET /openapi.json HTTP/1.1\r\n${host}\r\n\r\n`.padEnd(20_000, "x");
  const post = `POST /v1/mails HTTP/1.1\r\n${host}\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`;
  let heard = "";
  const { promise, resolve } = Promise.withResolvers<void>();
  await Bun.connect({
    hostname: "127.0.0.1",
    port: Number(port),
    socket: {
      open: (opened) => void opened.write(`${post}GET /ping HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`),
      data: (_socket, bytes) => {
        heard += new TextDecoder().decode(bytes);
      },
      close: () => resolve(),
    },
  });
  await promise;
  const statuses = [...heard.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
  expect([["401", "200"], ["401"]]).toContainEqual(statuses as string[]);
  expect(heard).not.toContain('"openapi"');
});
