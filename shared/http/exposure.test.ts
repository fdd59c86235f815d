/** What a service shows, and to whom. */
import { expect, test } from "bun:test";
import { Secret } from "#shared/config";
import { exposureOf, httpApp } from "#shared/http";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { type Exposure, OPEN, type ExposureConfig } from "./exposure.ts";

const TOKEN = "a-token-of-the-metrics";
const appWith = (exposure: Partial<Exposure>) =>
  httpApp(
    makeRuntime("test", silentLog, () => undefined),
    [],
    { exposure: { ...OPEN, ...exposure } },
  ).get("/thing", () => "thing");

async function ask(exposure: Partial<Exposure>, path: string, headers: Record<string, string>): Promise<Response> {
  return appWith(exposure).handle(
    new Request(`http://localhost${path}`, { headers: { host: "localhost", ...headers } }),
  );
}

test.each([
  ["api.example.com", 200],
  ["API.Example.com:8443", 200],
  ["api.example.com.", 200],
  ["a.b.example.org", 200],
  ["[::1]:8080", 200],
  ["example.org", 400],
  ["evil-example.org", 400],
  ["api.example.com.evil.example", 400],
  ["xapi.example.com", 400],
  ["127.0.0.1", 400],
  ["api.example.com, evil.example", 400],
  ["", 400],
])("with hosts listed, one of %p gets %p", async (host, status) => {
  const hosts = ["api.example.com", "*.example.org", "[::1]"];
  const answer = await ask({ hosts }, "/thing", { host });
  expect(answer.status).toBe(status);
  if (status === 400) expect(await answer.text()).not.toContain("evil");
});

test("operators' routes answer by any name, and without a list all do", async () => {
  for (const path of ["/ping", "/ready", "/metrics"]) {
    expect((await ask({ hosts: ["api.example.com"] }, path, { host: "10.1.2.3:8080" })).status).not.toBe(400);
  }
  expect((await ask({ hosts: ["api.example.com"] }, "/ping/thing", { host: "10.1.2.3" })).status).toBe(400);
  expect((await ask({}, "/thing", { host: "10.1.2.3:8080" })).status).toBe(200);
});

test.each([
  ["", 401],
  [TOKEN, 401],
  [`Basic ${TOKEN}`, 401],
  [`Bearer ${TOKEN}x`, 401],
  [`Bearer ${TOKEN}`, 200],
  [`bearer ${TOKEN}`, 200],
])("metrics with a token, asked with %p: %p", async (authorization, status) => {
  const answer = await ask({ metrics: new Secret(TOKEN) }, "/metrics", authorization === "" ? {} : { authorization });
  expect(answer.status).toBe(status);
  expect(answer.headers.get("www-authenticate")).toBe(status === 401 ? "Bearer" : null);
  expect((await answer.text()).includes("process_start_time_seconds")).toBe(status === 200);
});

test("metrics that are off are not there", async () => {
  const answer = await ask({ metrics: "off" }, "/metrics", { authorization: `Bearer ${TOKEN}` });
  expect([answer.status, await answer.json()]).toEqual([404, { error: true, message: "no such route" }]);
});

test("what was wrong last with what is behind is for those who are not the world", async () => {
  const shown = async (config: Partial<ExposureConfig>, isPublic: boolean) => {
    const runtime = makeRuntime("thing", silentLog, () => undefined);
    runtime.health.dependency("database").down(new Error("connect ECONNREFUSED 10.1.2.3:5432"));
    const exposure = exposureOf(
      { ENVIRONMENT: "production", ALLOWED_HOSTS: [], METRICS: undefined, METRICS_TOKEN: undefined, ...config },
      { isPublic },
    );
    const answer = await httpApp(runtime, [], { exposure }).handle(
      new Request("http://thing.test/ready", { headers: { host: "thing.test" } }),
    );
    const text = await answer.text();
    expect([answer.status, text.includes('"state":"down"')]).toEqual([503, true]);
    return text.includes("10.1.2.3");
  };
  expect(await shown({}, true)).toBe(false);
  expect(await shown({}, false)).toBe(true);
  expect(await shown({ ENVIRONMENT: "development" }, true)).toBe(true);
});

test("in production the world sees metrics only where that is said", () => {
  const token = new Secret(TOKEN);
  const metricsOf = (config: Partial<ExposureConfig>, isPublic: boolean) =>
    exposureOf(
      { ENVIRONMENT: "production", ALLOWED_HOSTS: [], METRICS: undefined, METRICS_TOKEN: undefined, ...config },
      { isPublic },
    ).metrics;
  expect(metricsOf({}, true)).toBe("off");
  expect(metricsOf({}, false)).toBe("open");
  expect(metricsOf({ ENVIRONMENT: "development" }, true)).toBe("open");
  expect(metricsOf({ METRICS: "open" }, true)).toBe("open");
  expect(metricsOf({ METRICS_TOKEN: token }, true)).toBe(token);
  expect(metricsOf({ METRICS: "open", METRICS_TOKEN: token }, false)).toBe(token);
  expect(metricsOf({ METRICS: "off", METRICS_TOKEN: token }, false)).toBe("off");
});
