/** Signing keys and tokens, over a table in memory. */
import { expect, test } from "bun:test";
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { ACCESS_TOKEN } from "#contracts/auth";
import { Secret } from "#shared/config";
import { fail, ok, type Result } from "#shared/errors";
import { makeHealth } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeSealer } from "../keys.ts";
import type { KeyStore, NewKey, StoredKey } from "./key-store.ts";
import { makeKeyring } from "./keyring.ts";
import { makeTokens, type Tokens } from "./tokens.ts";

/** User 7, who is let in as a session. */
const of = (sessionId: string) => ({
  user: {
    id: 7,
    role: "member" as const,
    extraScopes: ["logs:read" as const],
    accessVersion: 2,
    emailVerifiedAt: new Date(),
  },
  sessionId,
  authTime: new Date(1_700_000_000_123),
});

/** A table in memory, as key-store.ts has it in PostgreSQL. */
function storeOf(table: StoredKey[]): KeyStore {
  const at = (key: NewKey, ms: number): StoredKey => {
    const now = new Date();
    return { ...key, createdAt: now, activatesAt: new Date(now.getTime() + ms), retiredAt: null };
  };
  const unused = async () => fail("internal");
  return {
    find: async () => ok(table.toSorted((a, b) => b.activatesAt.getTime() - a.activatesAt.getTime())),
    async addFirst(key) {
      if (table.length === 0) table.push(at(key, 0));
      return ok();
    },
    async rotate(key, { leadMs, unlessSince }) {
      if (unlessSince !== undefined && table.some(({ activatesAt }) => activatesAt > unlessSince)) return ok(false);
      const added = at(key, leadMs);
      for (const [index, old] of table.entries()) table[index] = { ...old, retiredAt: added.activatesAt };
      table.push(added);
      return ok(true);
    },
    retire: unused,
  };
}

function replica(
  table: StoredKey[],
  secret = "a",
  ready: () => Promise<Result<void>> = async () => ok(),
  maxAgeMs?: number,
) {
  const health = makeHealth(silentLog);
  const sealer = makeSealer(new Secret(secret));
  const outbox = { put: async () => undefined, ring: () => undefined };
  let wake = (): void => undefined;
  const tokens = makeTokens({
    keyring: makeKeyring({ store: storeOf(table), sealer, outbox, maxAgeMs }),
    sealer,
    ready,
    onChange: (heard) => {
      wake = heard;
    },
    dependency: health.dependency("signing_keys"),
    log: silentLog,
  });
  return { tokens, report: () => health.report().dependencies[0], wake: () => wake() };
}

async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error("not within 5 s");
    await Bun.sleep(5);
  }
}

async function verify(by: Tokens, token: string) {
  const set = by.keySet();
  if (!set.ok) throw set.error;
  return jwtVerify(token, createLocalJWKSet(set.value), {
    issuer: ACCESS_TOKEN.issuer,
    audience: ACCESS_TOKEN.audience,
    typ: ACCESS_TOKEN.type,
    algorithms: [ACCESS_TOKEN.algorithm],
    requiredClaims: ["iss", "aud", "sub", "iat", "exp", "jti", "client_id", "sid", "auth_time", "scope", "av"],
  });
}

test("what one replica signs, another verifies; the private key is nowhere in the open", async () => {
  const table: StoredKey[] = [];
  const one = replica(table);
  const two = replica(table);
  await using _one = one.tokens;
  await using _two = two.tokens;
  await until(() => one.report()?.state === "up" && two.report()?.state === "up");
  const token = await one.tokens.sign(of("session"));
  if (!token.ok) throw token.error;
  const { payload } = await verify(two.tokens, token.value);
  expect(payload).toMatchObject({
    sub: "7",
    sid: "session",
    auth_time: 1_700_000_000,
    scope: "logs:write logs:read mails:send",
    roles: ["member"],
    av: 2,
  });
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(600);
  expect(table.length).toBe(1);
  expect(JSON.stringify(one.tokens.keySet())).not.toContain('"d"');
  expect(Buffer.from(table[0]?.privateJwk ?? []).toString("latin1")).not.toContain('"d"');
});

test("two tokens of one second differ, and a changed one verifies nowhere", async () => {
  const { tokens, report } = replica([]);
  await using _ = tokens;
  await until(() => report()?.state === "up");
  const [one, two] = await Promise.all([tokens.sign(of("s")), tokens.sign(of("s"))]);
  if (!one.ok || !two.ok) throw new Error("not signed");
  expect(one.value).not.toBe(two.value);
  const [header, , signature] = one.value.split(".");
  const forged = Buffer.from(JSON.stringify({ sub: "1" })).toString("base64url");
  const outcome = await verify(tokens, `${header}.${forged}.${signature}`).then(
    () => "accepted",
    () => "refused",
  );
  expect(outcome).toBe("refused");
});

test("keys sealed with another secret: said in words that tell what to do, and no token is signed", async () => {
  const table: StoredKey[] = [];
  const first = replica(table);
  await until(() => first.report()?.state === "up");
  await first.tokens[Symbol.asyncDispose]();
  const second = replica(table, "another");
  await using _ = second.tokens;
  await until(() => second.report()?.state === "down");
  expect(second.report()?.last_error).toContain("was sealed with another AUTH_SECRET: set that one again");
  expect(await second.tokens.sign(of("s"))).toMatchObject({ error: { code: "unavailable" } });
});

test("before the database is there, nothing is signed", async () => {
  const { tokens } = replica([], "a", async () => fail("unavailable"));
  await using _ = tokens;
  expect(await tokens.sign(of("s"))).toMatchObject({ error: { code: "unavailable", retryAfterS: 2 } });
  expect(tokens.keySet()).toMatchObject({ error: { code: "unavailable" } });
});

const kidOf = (token: Result<string>): unknown => (token.ok ? decodeProtectedHeader(token.value).kid : undefined);
const kidsOf = (tokens: Tokens): unknown[] => {
  const set = tokens.keySet();
  return set.ok ? set.value.keys.map(({ kid }) => kid) : [];
};

test("a new key is published before it signs; then it signs at its time, and the old one verifies on", async () => {
  const table: StoredKey[] = [];
  const { tokens, report, wake } = replica(table);
  await using _ = tokens;
  await until(() => report()?.state === "up");
  const old = await tokens.sign(of("s"));
  const [first] = table;
  if (first === undefined || !old.ok) throw new Error("no first key");
  const soon = new Date(Date.now() + 300);
  table[0] = { ...first, retiredAt: soon };
  const other: StoredKey[] = [];
  const { tokens: maker } = replica(other);
  await until(() => other.length === 1);
  await maker[Symbol.asyncDispose]();
  table.push(...other.map((key) => ({ ...key, activatesAt: soon })));
  wake();
  await until(() => kidsOf(tokens).length === 2);
  expect(Date.now()).toBeLessThan(soon.getTime());
  expect(kidOf(await tokens.sign(of("s")))).toBe(first.kid);
  await until(() => Date.now() > soon.getTime());
  const next = await tokens.sign(of("s"));
  if (!next.ok) throw next.error;
  expect(kidOf(next)).toBe(other[0]?.kid);
  expect((await verify(tokens, next.value)).payload.sub).toBe("7");
  expect((await verify(tokens, old.value)).payload.sub).toBe("7");
});

test("a key that is too old is followed by another, once, however many replicas look", async () => {
  const table: StoredKey[] = [];
  const first = replica(table);
  await until(() => first.report()?.state === "up");
  await first.tokens[Symbol.asyncDispose]();
  const [key] = table;
  if (key === undefined) throw new Error("no key");
  table[0] = { ...key, activatesAt: new Date(Date.now() - 10_000) };
  const ready = async () => ok();
  const replicas = Array.from({ length: 3 }, () => replica(table, "a", ready, 5_000));
  await until(() => replicas.every(({ tokens }) => kidsOf(tokens).length === 2));
  expect(table).toHaveLength(2);
  // Published now, signing in five minutes.
  expect(Math.round(((table[1]?.activatesAt.getTime() ?? 0) - Date.now()) / 60_000)).toBe(5);
  for (const { tokens } of replicas) {
    expect(kidOf(await tokens.sign(of("s")))).toBe(key.kid);
    await tokens[Symbol.asyncDispose]();
  }
});
