/** API keys at the broker: asked about once a minute, forgotten with a revocation, remembered while auth is away. */
import { afterEach, expect, test } from "bun:test";
import type { KeyHolder } from "#contracts/auth";
import { fail, ok, type Result } from "#shared/errors";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { newContext } from "#shared/telemetry";
import { type ApiKeysOptions, makeApiKeys } from "./api-keys.ts";
import type { Standing } from "./revocations.ts";

const closing: (() => unknown)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).toReversed()) close();
});

const KEY = `pk_AZmPXnwQegCLPD9enSpMEQ_${"x".repeat(43)}`;
const HOLDER: KeyHolder = { key_id: "key-1", user_id: 7, scopes: ["logs:read"] };

function setUp(options: Partial<ApiKeysOptions> = {}) {
  const { metrics } = makeRuntime("broker", silentLog, () => undefined);
  closing.push(() => metrics[Symbol.dispose]());
  const scene = {
    clock: 0,
    asked: 0,
    standing: "stands" as Standing,
    answer: (): Result<KeyHolder> | Promise<Result<KeyHolder>> => ok(HOLDER),
  };
  const keys = makeApiKeys({
    ask: async () => {
      scene.asked += 1;
      return scene.answer();
    },
    revocations: { ofKey: () => scene.standing },
    maxAgeS: 600,
    metrics,
    now: () => scene.clock,
    ...options,
  });
  const find = async (key = KEY) => {
    const found = await keys.find(key, newContext());
    return found.ok ? (found.value.degraded?.["auth"] ?? found.value.holder.key_id) : found.error.code;
  };
  return { scene, keys, find };
}

test("auth is asked once a minute, and once by all who ask at the same time", async () => {
  const { scene, find } = setUp();
  expect(await Promise.all([find(), find(), find()])).toEqual(["key-1", "key-1", "key-1"]);
  scene.clock = 59_999;
  expect([await find(), scene.asked]).toEqual(["key-1", 1]);
  scene.clock = 60_000;
  expect([await find(), scene.asked]).toEqual(["key-1", 2]);
});

test("what is nobody's is asked about again after 5 s; what can be none is not asked about", async () => {
  const { scene, find } = setUp();
  scene.answer = () => fail("unauthenticated");
  expect([await find(), await find(), scene.asked]).toEqual(["unauthenticated", "unauthenticated", 1]);
  scene.clock = 5_000;
  expect([await find(), scene.asked]).toEqual(["unauthenticated", 2]);
  for (const text of ["", "pk_", "nonsense", `${KEY} `, KEY.replace("x", "é"), `pk_${"x".repeat(300)}`])
    expect(await find(text)).toBe("unauthenticated");
  expect(scene.asked).toBe(2);
});

test("a revoked key is none, whatever is remembered; a change of its user is asked about", async () => {
  const { scene, keys, find } = setUp();
  await find();
  keys.forget({ kind: "user", subject: "8" });
  keys.forget({ kind: "session", subject: "key-1" });
  await find();
  expect(scene.asked).toBe(1);
  keys.forget({ kind: "user", subject: "7" });
  await find();
  expect(scene.asked).toBe(2);
  scene.standing = "revoked";
  expect([await find(), scene.asked]).toEqual(["unauthenticated", 2]);
});

test("an answer from before a revocation is not remembered", async () => {
  const { scene, keys, find } = setUp();
  const gate = Promise.withResolvers<Result<KeyHolder>>();
  scene.answer = () => gate.promise;
  const first = find();
  keys.forget({ kind: "api_key", subject: "key-1" });
  scene.answer = () => fail("unauthenticated");
  // Who asks after it does not share the answer from before.
  expect(await find()).toBe("unauthenticated");
  gate.resolve(ok(HOLDER));
  await first;
  scene.clock = 5_000;
  expect(await find()).toBe("unauthenticated");
});

test("its own time ends a key, also from memory", async () => {
  const { scene, find } = setUp();
  scene.answer = () => ok({ ...HOLDER, expires_at: new Date(Date.now() - 1_000).toISOString() });
  expect(await find()).toBe("unauthenticated");
  expect(await find()).toBe("unauthenticated");
});

test("auth away: what was said last, marked, as long as it may be; else 503", async () => {
  const { scene, find } = setUp();
  await find();
  scene.answer = () => fail("unavailable");
  scene.clock = 59_999;
  expect(await find()).toBe("key-1");
  scene.clock = 61_000;
  expect(await find()).toBe("cached;age=61");
  scene.clock = 600_000;
  expect(await find()).toBe("cached;age=600");
  scene.clock = 600_001;
  expect(await find()).toBe("unavailable");
  expect(await find(`${KEY}y`)).toBe("unavailable");
});

test("while it is not sure that all revocations are known, auth is asked each time", async () => {
  const { scene, find } = setUp();
  scene.standing = "unsure";
  expect([await find(), await find(), scene.asked]).toEqual(["key-1", "key-1", 2]);
});
