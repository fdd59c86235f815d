/** What the broker shows, by its configuration: its connections, its names, its metrics and its description. */
import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { brokers, until } from "./platform.test-kit.ts";

const { platform, closing } = brokers();
const PRODUCTION = { ENVIRONMENT: "production" };

/** Statuses of what is asked, by path. */
async function statuses(url: string, paths: readonly string[], headers: Record<string, string> = {}) {
  const asked = paths.map(async (path) => [path, (await fetch(`${url}${path}`, { headers })).status] as const);
  return Object.fromEntries(await Promise.all(asked));
}

test.each([
  ["development", "", 6],
  ["production", "", 2],
  ["production", "off", 6],
  ["development", "on", 2],
])("in %s with GUARD=%s, of six connections of one address so many stay: %p", async (ENVIRONMENT, GUARD, stay) => {
  const { app } = await platform({ ENVIRONMENT, GUARD, GUARD_CONNECTIONS_PER_ADDRESS: "2" });
  const open = new Set<Socket>();
  const { port } = new URL(app.url);
  await until("the clients of its start are gone", async () => {
    for (const socket of open) socket.destroy();
    open.clear();
    const answers = Array.from(
      { length: 6 },
      () =>
        new Promise<void>((resolve) => {
          const socket = connect(Number(port), "127.0.0.1", () =>
            socket.write("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"),
          );
          socket.on("error", () => undefined);
          socket.once("data", () => open.add(socket));
          for (const event of ["data", "close"]) socket.once(event, () => resolve());
          closing.push(() => socket.destroy());
        }),
    );
    await Promise.all(answers);
    return open.size === stay;
  });
});

/** What the console is told in its page. */
async function factsOf(url: string): Promise<{ described: boolean; measured: boolean }> {
  const page = await (await fetch(url)).text();
  const [, facts = "{}"] = /name="platform" content="([^"]*)"/.exec(page) ?? [];
  return JSON.parse(facts.replaceAll("&quot;", '"')) as { described: boolean; measured: boolean };
}

test("the API's description and all that goes with it can be closed; the rest stays", async () => {
  const described = ["/openapi", "/openapi.json", "/assets/api.js"];
  const others = ["/", "/assets/console.js", "/assets/page.css", "/v1/health"];
  const open = await platform();
  expect(new Set(Object.values(await statuses(open.app.url, [...described, ...others])))).toEqual(new Set([200]));
  expect(await factsOf(open.app.url)).toMatchObject({ described: true });
  const closed = await platform({ OPENAPI: "off" });
  expect(new Set(Object.values(await statuses(closed.app.url, described)))).toEqual(new Set([404]));
  expect(new Set(Object.values(await statuses(closed.app.url, others)))).toEqual(new Set([200]));
  expect(await factsOf(closed.app.url)).toMatchObject({ described: false });
});

test("metrics: open in development, off in production, or for who has the token", async () => {
  const METRICS_TOKEN = "canary-metrics-token";
  const of = async (env: Record<string, string>, headers?: Record<string, string>) => {
    const { app } = await platform(env);
    const { "/metrics": status } = await statuses(app.url, ["/metrics"], headers);
    return [status, (await factsOf(app.url)).measured];
  };
  expect(await of({})).toEqual([200, true]);
  expect(await of(PRODUCTION)).toEqual([404, false]);
  expect(await of({ ...PRODUCTION, METRICS: "open" })).toEqual([200, true]);
  expect(await of({ ...PRODUCTION, METRICS_TOKEN })).toEqual([401, false]);
  expect(await of({ ...PRODUCTION, METRICS_TOKEN }, { authorization: `Bearer ${METRICS_TOKEN}` })).toEqual([
    200,
    false,
  ]);
});

test("it answers to the names that it is given", async () => {
  const { app } = await platform({ ALLOWED_HOSTS: "api.example.com" });
  const paths = ["/v1/health", "/", "/nowhere", "/ping"];
  expect(await statuses(app.url, paths, { host: "api.example.com" })).toEqual({
    "/v1/health": 200,
    "/": 200,
    "/nowhere": 404,
    "/ping": 200,
  });
  expect(await statuses(app.url, paths, { host: "evil.example" })).toEqual({
    "/v1/health": 400,
    "/": 400,
    "/nowhere": 400,
    "/ping": 200,
  });
});
