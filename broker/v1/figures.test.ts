/** Figures through the broker's door: whose they are to see, and what is told. */
import { expect, test } from "bun:test";
import { FiguresOverTime, PlatformFigures } from "#contracts/figures";
import { makeValidator } from "#shared/validation";
import { until } from "../platform.test-kit.ts";
import { OPERATOR_TOKEN, versionedBrokers } from "./v1.test-kit.ts";

const { broker, sessionToken, memberToken } = versionedBrokers();
const latestOf = makeValidator(PlatformFigures);
const overOf = makeValidator(FiguresOverTime);
const [LATEST, OVER] = ["/v1/platform/figures", "/v1/platform/figures/broker"];

test("requests at the door are in the figures of the next sample, of the broker and of its clients", async () => {
  const { call, get } = await broker();
  const seen = await until("a rate", async () => {
    for (let times = 0; times < 3; times += 1) await call("/nowhere");
    const { body } = await get(LATEST);
    const latest = latestOf(body.data);
    if (!latest.ok) throw latest.error;
    const way = latest.value.edges.find(({ from }) => from === "clients");
    return (way?.calls_per_s ?? 0) > 0 ? latest.value : undefined;
  });
  const values = seen.parts.find(({ name }) => name === "broker")?.values ?? {};
  expect(values["requests.all"]).toBeGreaterThan(0);
  expect(values["requests.failed"]).toBe(0);
  expect(values["memory.resident"]).toBeGreaterThan(10);
  expect(seen.edges.find(({ from, to }) => from === "broker" && to === "auth")).toMatchObject({ breaker: "closed" });

  const { body } = await get(`${OVER}?window_s=60`);
  expect(body.message).toBe("figures of broker over the last 60 s");
  const over = overOf(body.data);
  if (!over.ok) throw over.error;
  const { at, charts, interval_s } = over.value;
  expect(interval_s).toBe(5);
  expect(at.length).toBeGreaterThanOrEqual(2);
  expect(Math.abs(Date.now() / 1_000 - (at.at(-1) ?? 0))).toBeLessThan(10);
  for (const { series } of charts) for (const { values: its } of series) expect(its).toHaveLength(at.length);
  expect(charts.map(({ key }) => key)).toEqual(
    expect.arrayContaining(["requests", "latency", "breakers", "calls_out"]),
  );
}, 30_000);

test("a part that there is none of is 404; a window that is none is 422", async () => {
  const { call } = await broker();
  for (const part of ["nobody", "constructor", "%2e%2e", "BROKER"])
    expect([part, (await call(`/v1/platform/figures/${part}`)).status]).toEqual([part, 404]);
  for (const query of ["window_s=59", "window_s=3601", "window_s=1.5e3", "window_s=", "x=1", "window_s=60&window_s=60"])
    expect([query, (await call(`${OVER}?${query}`)).status]).toEqual([query, 422]);
  expect((await call(`${LATEST}?x=1`)).status).toBe(422);
  for (const part of ["auth", "rabbitmq", "redis"])
    expect((await call(`/v1/platform/figures/${part}`)).body.data).toMatchObject({ interval_s: 5 });
});

test("for whoever may see the platform; in development for everybody, unless there is an OPERATOR_TOKEN", async () => {
  const open = await broker();
  const closed = await broker({ OPERATOR_TOKEN });
  for (const path of [LATEST, OVER]) {
    const asked = async (token?: string) =>
      (await closed.call(path, token === undefined ? {} : { authorization: `Bearer ${token}` })).status;
    expect((await open.call(path)).status).toBe(200);
    expect(await asked()).toBe(401);
    expect(await asked(await memberToken())).toBe(403);
    expect(await asked(await sessionToken())).toBe(200);
    expect(await asked(OPERATOR_TOKEN)).toBe(200);
  }
});

test("a broker that stops does not wait for a service that hangs", async () => {
  const { app, auth } = await broker();
  await auth.down();
  const startedAt = performance.now();
  await app[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeLessThan(5_000);
});
