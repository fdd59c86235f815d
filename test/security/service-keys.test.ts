/** Keys between services, through the whole platform on real parts: everything goes on, and nobody gets past the broker. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { PlatformFigures } from "#contracts/figures";
import { makeServiceKey } from "#shared/service-keys";
import { HAS_BACKING, type Platform, START_MS, startPlatform, until } from "../kit.ts";

const broker = makeServiceKey();
const auth = makeServiceKey();
const listener = makeServiceKey();
const mail = makeServiceKey();
const MAIL = { from: "ann@example.com", to: "bob@example.com", subject: "Hello", message: "Hi" };

describe.skipIf(!HAS_BACKING)("keys between services (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  beforeAll(async () => {
    platform = await startPlatform({
      env: {
        BCRYPT_COST: "4",
        LOGGER_RPC_TOKEN: "a token of this test of 32 characters",
        AUTH_METRICS: "off",
        MAIL_METRICS_TOKEN: "a-token-of-this-tests-metrics",
        BROKER_SERVICE_KEY: broker.key,
        AUTH_SERVICE_KEY: auth.key,
        MAIL_SERVICE_KEY: mail.key,
        LISTENER_SERVICE_KEY: listener.key,
        SERVICE_CALLERS: `broker:${broker.sha256},auth:${auth.sha256},mail:${mail.sha256},listener:${listener.sha256}`,
      },
    });
  }, START_MS);
  afterAll(() => platform?.[Symbol.asyncDispose](), 60_000);

  const sent = (id: unknown) =>
    until("the mail is sent", async () => (await platform.outbox([String(id)])).get(String(id)) === "sent", 60_000);

  test("the actions of the broker work, by every way out that it has", async () => {
    const login = { action: "auth", auth: { email: "admin@example.com", password: "verysecret" } };
    const answer = await until("a login", async () => {
      const given = await platform.handle(login);
      return given.status === 202 && given;
    });
    const headers = { authorization: `Bearer ${(answer.body.data as { access_token: string }).access_token}` };
    expect((await fetch(`${platform.url("broker")}/v1/me`, { headers })).status).toBe(200);
    expect((await platform.handle({ action: "log", log: { name: "keys", data: "x" } })).body.message).toBe(
      "Logged via RPC: Processing succeeded",
    );
    const mail = await platform.handle({ action: "mail", mail: MAIL });
    expect(mail.status).toBe(202);
    await sent((mail.body.data as { id: string }).id);
    for (const path of ["/v1/events/queues", "/v1/logs/gaps", "/v1/mails"]) {
      expect([path, (await fetch(`${platform.url("broker")}${path}`)).status]).toEqual([path, 200]);
    }
  }, 60_000);

  test("metrics that nobody else may see are in the broker's figures", async () => {
    const services = ["auth", "mail", "logger"] as const;
    const asked = services.map(async (service) => (await fetch(`${platform.url(service)}/metrics`)).status);
    expect(await Promise.all(asked)).toEqual([404, 401, 200]);
    const parts = await until("all have told", async () => {
      const answer = await fetch(`${platform.url("broker")}/v1/platform/figures`);
      const { data } = (await answer.json()) as { data: PlatformFigures };
      return data.parts.filter(({ answered }) => answered === 1).length === 5 && data.parts;
    });
    for (const name of services)
      expect(parts.find((part) => part.name === name)?.values["memory.resident"]).toBeGreaterThan(10);
  });

  test("what auth and the listener send of themselves gets through: a welcome mail, a mail that waited as a job", async () => {
    const user = { email: `keys-${process.pid}@example.com`, password: "correct horse battery" };
    const registered = await platform.post("broker", "/v1/users", user);
    expect(registered.status).toBe(201);
    await sent((registered.body.data as { mail_id: string }).mail_id);

    await platform.stack.part("mail").stop();
    const waiting = await platform.handle({ action: "mail", mail: MAIL });
    expect(waiting.body.message).toBe("Message queued for bob@example.com");
    await platform.stack.part("mail").start();
    await sent((waiting.body.data as { id: string }).id);
  }, 120_000);

  test("nobody else is let in at any service behind, nor does a key open what is not its caller's", async () => {
    const routes = [
      ["auth", "POST", "/authenticate"],
      ["auth", "POST", "/api-keys/verify"],
      ["mail", "POST", "/send"],
      ["mail", "GET", "/mails"],
      ["logger", "POST", "/log"],
      ["logger", "GET", "/logs/gaps"],
      ["listener", "GET", "/events/queues"],
      ["listener", "POST", "/events/dead-letters/drop"],
    ] as const;
    for (const [service, method, path] of routes) {
      const ask = (headers: Record<string, string> = {}) =>
        fetch(`${platform.url(service)}${path}`, {
          method,
          headers: { "content-type": "application/json", ...headers },
          ...(method === "POST" ? { body: "{}" } : {}),
        });
      for (const headers of [{}, { "x-service-key": makeServiceKey().key }]) {
        expect([service, path, (await ask(headers)).status]).toEqual([service, path, 401]);
      }
      const isListeners = path === "/send";
      const given = (await ask({ "x-service-key": listener.key })).status;
      expect([service, path, given]).toEqual([service, path, isListeners ? 422 : 403]);
      expect((await fetch(`${platform.url(service)}/ping`)).status).toBe(200);
    }
    expect((await fetch(`${platform.url("auth")}/.well-known/jwks.json`)).status).toBe(200);
  });
});
