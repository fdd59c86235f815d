/** Ids: who gave them, of what, when; and that no two are the same. */
import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { assert, property, string, uuid } from "fast-check";
import { RECEIPT_KINDS } from "#contracts/receipts";
import { makeIds } from "./ids.ts";

const SECRET = "a secret of the brokers";
const SCOPE = { caller: "anonymous", route: "/handle", key: "k" };

test("an id is a UUIDv7 that says what it is of and when it was given, to every broker with the secret", () => {
  const ids = makeIds(SECRET, () => 1_790_000_000_123);
  for (const kind of RECEIPT_KINDS) {
    const id = ids.mint(kind);
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(makeIds(SECRET).verify(id)).toEqual({ kind, at: new Date(1_790_000_000_123) });
    expect(makeIds("another secret").verify(id)).toBeUndefined();
  }
});

test("the tag is the HMAC-SHA-256 of kind and id, under a key made from the secret", () => {
  const id = makeIds(SECRET).mint("mail");
  const bytes = Buffer.from(id.replaceAll("-", ""), "hex");
  const key = createHmac("sha256", SECRET).update("receipt tag").digest();
  const tag = createHmac("sha256", key).update("mail\0").update(bytes.subarray(0, 12)).digest();
  expect(bytes.subarray(12).toString("hex")).toBe(tag.subarray(0, 4).toString("hex"));
});

test("an id of which one digit was changed is nobody's", () => {
  const ids = makeIds(SECRET);
  for (const id of [ids.mint("log"), ids.derive("event", SCOPE, 0)]) {
    for (let at = 0; at < id.length; at += 1) {
      if (id[at] === "-") continue;
      const digit = id[at] === "0" ? "1" : "0";
      expect(ids.verify(`${id.slice(0, at)}${digit}${id.slice(at + 1)}`)).toBeUndefined();
    }
  }
});

test("text of any shape, and UUIDs of others, are not ours", () => {
  const ids = makeIds(SECRET);
  assert(property(string(), (text) => ids.verify(text) === undefined));
  assert(property(uuid(), (text) => ids.verify(text) === undefined));
  for (const text of [
    Bun.randomUUIDv7(),
    ids.mint("log").toUpperCase(),
    `${ids.mint("log")}0`,
    ` ${ids.mint("log")}`,
  ]) {
    expect(ids.verify(text)).toBeUndefined();
  }
});

test("ids of one process ascend and are distinct: within a millisecond, beyond its counter, with the clock set back", () => {
  let at = 1_790_000_000_000;
  const ids = makeIds(SECRET, () => at);
  const given: string[] = [];
  const take = (n: number) => {
    for (let i = 0; i < n; i += 1) given.push(ids.mint("log"));
  };
  take(20_000);
  at -= 3_600_000;
  take(10);
  at += 7_200_000;
  take(10);
  // The tag behind the 96 bits that count is no part of the order.
  const heads = given.map((id) => id.slice(0, 28));
  expect(new Set(heads).size).toBe(given.length);
  expect(heads).toEqual(heads.toSorted());
  expect(ids.verify(given.at(-1) ?? "")?.at).toEqual(new Date(at));
});

test("processes of one millisecond give distinct ids", () => {
  const makers = Array.from({ length: 500 }, () => makeIds(SECRET, () => 1_790_000_000_000));
  expect(new Set(makers.map((ids) => ids.mint("log").slice(0, 28))).size).toBe(500);
});

test("an id from a key is a UUIDv8: the same everywhere, another for each part of the scope, index and kind", () => {
  const ids = makeIds(SECRET);
  const id = ids.derive("log", SCOPE, 0);
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(makeIds(SECRET).derive("log", SCOPE, 0)).toBe(id);
  expect(ids.verify(id)).toEqual({ kind: "log", at: undefined });
  const others = [
    ids.derive("mail", SCOPE, 0),
    ids.derive("log", SCOPE, 1),
    ids.derive("log", { ...SCOPE, caller: "user:1" }, 0),
    ids.derive("log", { ...SCOPE, route: "/" }, 0),
    ids.derive("log", { ...SCOPE, key: "k2" }, 0),
    // Parts do not run into each other.
    ids.derive("log", { caller: "anonymous/", route: "handle", key: "k" }, 0),
    makeIds("another secret").derive("log", SCOPE, 0),
  ];
  expect(new Set([id, ...others]).size).toBe(others.length + 1);
});

test("a fingerprint tells texts apart, and nothing of them without the secret", () => {
  const ids = makeIds(SECRET);
  expect(ids.fingerprint("a")).toBe(makeIds(SECRET).fingerprint("a"));
  expect(ids.fingerprint("a")).not.toBe(ids.fingerprint("b"));
  expect(ids.fingerprint("a")).not.toBe(makeIds("another secret").fingerprint("a"));
});
