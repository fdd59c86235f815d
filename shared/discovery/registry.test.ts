/** What is believed of what is announced, and that silence is no reason to forget. Clocks are the test's; no RabbitMQ is needed. */
import { expect, test } from "bun:test";
import type { Announcement } from "#contracts/registry";
import { Secret } from "#shared/config";
import { silentLog } from "#shared/log";
import { makeAnnounceKey, makeAnnouncerSignature } from "#shared/service-keys";
import { fixed } from "./endpoint.ts";
import { makeRegistry, type Refused } from "./registry.ts";

const PAIRS = { auth: makeAnnounceKey(), mail: makeAnnounceKey() };
const AUTH = new Secret(PAIRS.auth.key);
const MAIL = new Secret(PAIRS.mail.key);
const MINUTE = 60_000;

function setUp({ signed = true, configured = ["http://auth:8081"] } = {}) {
  const clock = { wall: Date.parse("2026-11-23T09:00:00Z"), now: 0 };
  const refused: Refused[] = [];
  const announcers = [
    { name: "auth", publicKey: PAIRS.auth.publicKey },
    { name: "mail", publicKey: PAIRS.mail.publicKey },
  ];
  const registry = makeRegistry({
    announcers: signed ? announcers : undefined,
    log: silentLog,
    onRefused: (reason) => refused.push(reason),
    wall: () => clock.wall,
    now: () => clock.now,
  });
  registry.up();
  const source = registry.source("auth", "url", fixed(configured));
  const pass = (ms: number): void => {
    clock.wall += ms;
    clock.now += ms;
  };
  function say(changes: Partial<Announcement> = {}, key: Secret | null = AUTH, wire = (text: string) => text): void {
    pass(1);
    const announcement: Announcement = {
      service: "auth",
      instance: "one",
      url: "http://10.0.0.1:8081",
      version: "1.0.0",
      started_at: "2026-11-23T08:00:00Z",
      at: new Date(clock.wall).toISOString(),
      state: "up",
      ...changes,
    };
    const text = JSON.stringify(announcement);
    const signature = key === null ? {} : { signature: makeAnnouncerSignature(key)(text) };
    registry.hear(new TextEncoder().encode(JSON.stringify({ announcement: wire(text), ...signature })));
  }
  const urls = (): string[] =>
    source
      .current()
      .filter((one) => one.isFallback !== true)
      .map(({ url }) => url);
  return { registry, source, say, urls, refused, clock, pass };
}

test("announced instances take the place of what is configured, which stays as a fallback; who leaves is gone at once", () => {
  const { source, say, urls, refused } = setUp();
  expect(source.current()).toEqual([{ url: "http://auth:8081" }]);
  say();
  say({ instance: "two", url: "http://10.0.0.2:8081" });
  say();
  expect(source.current()).toEqual([
    {
      url: "http://10.0.0.1:8081",
      authority: "auth:8081",
      announced: { instance: "one", version: "1.0.0", startedAt: "2026-11-23T08:00:00Z" },
    },
    {
      url: "http://10.0.0.2:8081",
      authority: "auth:8081",
      announced: { instance: "two", version: "1.0.0", startedAt: "2026-11-23T08:00:00Z" },
    },
    { url: "http://auth:8081", isFallback: true },
  ]);
  say({ state: "leaving" });
  expect(urls()).toEqual(["http://10.0.0.2:8081"]);
  say({ instance: "two", state: "leaving" });
  expect(source.current()).toEqual([{ url: "http://auth:8081" }]);
  // Started again at the same place: another instance, one address.
  say({ instance: "three" });
  say({ instance: "four" });
  expect(urls()).toEqual(["http://10.0.0.1:8081"]);
  expect(refused).toEqual([]);
});

test("who has no key of that service announces nothing: unsigned, another service's key, changed on the way", () => {
  const { say, urls, refused } = setUp();
  say({}, null);
  say({}, MAIL);
  say({}, new Secret(makeAnnounceKey().key));
  say({}, AUTH, (text) => text.replace("10.0.0.1", "10.6.6.6"));
  expect(urls()).toEqual(["http://auth:8081"]);
  expect(refused).toEqual(["not_signed", "not_signed", "not_signed", "not_signed"]);
  say();
  say({ state: "leaving" }, MAIL);
  expect(urls()).toEqual(["http://10.0.0.1:8081"]);
});

test("what was said before counts for nothing when somebody says it again: after a minute, after a goodbye, out of order", () => {
  const { registry, say, urls, refused, pass } = setUp();
  const heard: Uint8Array[] = [];
  const own = registry.hear.bind(registry);
  const hear = (body: Uint8Array): void => own(body);
  registry.hear = (body) => {
    heard.push(body);
    hear(body);
  };
  say();
  say({ state: "leaving" });
  for (const body of heard) hear(body);
  expect(urls()).toEqual(["http://auth:8081"]);
  say();
  hear(heard[1] ?? new Uint8Array());
  expect(urls()).toEqual(["http://10.0.0.1:8081"]);
  pass(MINUTE + 1_000);
  const before = refused.length;
  hear(heard[2] ?? new Uint8Array());
  expect(refused.slice(before)).toEqual(["stale"]);
  // Of a clock that is an hour ahead.
  say({ at: "2026-11-23T10:30:00Z", instance: "late" });
  expect(refused.at(-1)).toBe("stale");
});

test.each([
  "https://10.0.0.1:8081",
  "ftp://10.0.0.1:8081",
  "http://user:secret@10.0.0.1:8081",
  "http://10.0.0.1:8081/path",
  "http://10.0.0.1:8081/",
  "http://10.0.0.1:8081?x=1",
  "http://10.0.0.1:8081#x",
  "javascript:alert(1)",
  "10.0.0.1:8081",
])("an address of another kind than the configuration has is none: %s", (url) => {
  const { say, urls, refused } = setUp();
  say({ url });
  expect([urls(), refused]).toEqual([["http://auth:8081"], ["wrong_url"]]);
});

test("where TLS is configured nobody talks it down, and the name that is verified is the configured one", () => {
  const { source, say, refused } = setUp({ configured: ["https://auth:8081"] });
  say();
  expect(refused).toEqual(["wrong_url"]);
  say({ url: "https://10.0.0.1:8081" });
  expect(source.current()[0]).toMatchObject({ url: "https://10.0.0.1:8081", authority: "auth:8081" });
});

test("what is no announcement is refused, and there is a limit to everything", () => {
  const { registry, say, urls, refused, pass } = setUp();
  const bodies = ["", "null", "[]", "{}", '{"announcement":"{}"}', '{"announcement":1}', "x".repeat(5_000), "\xff"];
  for (const body of bodies) registry.hear(Buffer.from(body, "latin1"));
  say({ service: "broker" as never });
  say({ instance: "<script>" });
  say({ at: "yesterday" });
  expect(new Set(refused)).toEqual(new Set<Refused>(["malformed"]));
  expect(refused).toHaveLength(bodies.length + 3);
  for (let n = 0; n < 100; n += 1) say({ instance: `i${n}`, url: `http://10.0.1.${n}:8081` });
  expect(urls()).toHaveLength(64);
  expect(refused.at(-1)).toBe("full");
  pass(2_000);
  for (let n = 0; n < 600; n += 1) registry.hear(new Uint8Array());
  expect(refused.filter((reason) => reason === "too_many").length).toBe(100);
  pass(1_000);
  say({ instance: "i0", state: "leaving" });
  expect(urls()).toHaveLength(63);
});

test("30 minutes without a registry: nothing is forgotten; back, one that is neither heard nor reached for a minute may go", () => {
  const { registry, source, say, urls, pass } = setUp();
  say();
  say({ instance: "two", url: "http://10.0.0.2:8081" });
  registry.down();
  pass(30 * MINUTE);
  source.forget?.("http://10.0.0.1:8081");
  expect(urls()).toEqual(["http://10.0.0.1:8081", "http://10.0.0.2:8081"]);
  registry.up();
  pass(MINUTE - 10_000);
  source.forget?.("http://10.0.0.1:8081");
  expect(urls()).toHaveLength(2);
  say({ instance: "two", url: "http://10.0.0.2:8081" });
  say({ instance: "three", url: "http://10.0.0.3:8081" });
  pass(11_000);
  for (const url of urls()) source.forget?.(url);
  expect(urls()).toEqual(["http://10.0.0.2:8081", "http://10.0.0.3:8081"]);
});

test("in development without keys whatever is announced is believed, of the right kind", () => {
  const { say, urls } = setUp({ signed: false });
  say({}, null);
  expect(urls()).toEqual(["http://10.0.0.1:8081"]);
});
