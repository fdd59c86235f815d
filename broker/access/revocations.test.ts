/** What no longer counts, as it is kept: in any order, no longer than it matters, and never more than there is room for. */
import { afterEach, expect, test } from "bun:test";
import type { Revocation } from "#contracts/identity";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeRevocations, type RevocationsOptions } from "./revocations.ts";

const closing: (() => unknown)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).toReversed()) close();
});

const START = Date.parse("2026-11-29T12:00:00Z");
const MINUTE = 60_000;

function setUp(options: Partial<RevocationsOptions> = {}) {
  const { metrics, log } = makeRuntime("broker", silentLog, () => undefined);
  const clock = { now: START };
  const heard: string[] = [];
  const revocations = makeRevocations({
    log,
    metrics,
    now: () => clock.now,
    onRevoked: ({ kind, subject }) => heard.push(`${kind} ${subject}`),
    ...options,
  });
  closing.push(
    () => metrics[Symbol.dispose](),
    () => revocations[Symbol.dispose](),
  );
  return { revocations, clock, heard };
}

function revocation(kind: Revocation["kind"], subject: string, more: Partial<Revocation> = {}): Revocation {
  const at = new Date(START).toISOString();
  const expires_at = new Date(START + 10 * MINUTE).toISOString();
  return { id: Bun.randomUUIDv7(), kind, subject, at, expires_at, ...more };
}
const token = (sid: string, sub = "7", av = 1) => ({ sid, sub, av });

test("a session, a user's tokens below a version, a key: each is revoked, and nothing else", () => {
  const { revocations, heard } = setUp();
  revocations.whole();
  revocations.take([
    revocation("session", "a"),
    revocation("user", "7", { access_version: 3 }),
    revocation("user", "7", { access_version: 2 }),
    revocation("user", "8", { access_version: 1 }),
    revocation("api_key", "k"),
  ]);
  expect(revocations.ofToken(token("a", "9", 9))).toBe("revoked");
  expect([0, 1, 2, 3, 4].map((av) => revocations.ofToken(token("b", "7", av)))).toEqual([
    "revoked",
    "revoked",
    "revoked",
    "stands",
    "stands",
  ]);
  // Another field of his was changed: his token stays.
  expect(revocations.ofToken(token("c", "8", 1))).toBe("stands");
  expect(["k", "a"].map((id) => revocations.ofKey(id))).toEqual(["revoked", "stands"]);
  expect(heard).toEqual(["session a", "user 7", "user 7", "user 8", "api_key k"]);
});

test("the same one told again is heard once", () => {
  const { revocations, heard } = setUp();
  const told = [revocation("user", "7", { access_version: 2 }), revocation("user", "7", { access_version: 3 })];
  revocations.take(told);
  revocations.take(told);
  expect(heard).toHaveLength(2);
});

test("until auth's list is read, whatever is not revoked is unsure", () => {
  const { revocations } = setUp();
  revocations.take([revocation("session", "a")]);
  expect([revocations.ofToken(token("a")), revocations.ofToken(token("b")), revocations.ofKey("k")]).toEqual([
    "revoked",
    "unsure",
    "unsure",
  ]);
  revocations.whole();
  expect(revocations.ofToken(token("b"))).toBe("stands");
});

test("with no room for one, all is unsure until that one no longer matters; what is over makes room", () => {
  const { revocations, clock } = setUp({ size: 2 });
  revocations.whole();
  revocations.take([revocation("session", "a"), revocation("session", "b")]);
  expect(revocations.ofToken(token("c"))).toBe("stands");
  revocations.take([revocation("session", "c")]);
  expect(revocations.size).toBe(2);
  expect([revocations.ofToken(token("a")), revocations.ofToken(token("c")), revocations.ofKey("k")]).toEqual([
    "revoked",
    "unsure",
    "unsure",
  ]);
  // Clocks differ: a minute longer than auth says.
  clock.now = START + 10 * MINUTE + 30_000;
  expect(revocations.ofToken(token("d"))).toBe("unsure");
  clock.now = START + 11 * MINUTE;
  expect(revocations.ofToken(token("d"))).toBe("stands");
  const later = new Date(clock.now + MINUTE).toISOString();
  revocations.take([revocation("session", "e", { expires_at: later })]);
  expect(revocations.size).toBe(1);
  expect(revocations.ofToken(token("e"))).toBe("revoked");
});

test("those for which there is no room cost no more than those for which there is", () => {
  const size = 10_000;
  const { revocations } = setUp({ size });
  revocations.whole();
  const told = (name: string) => Array.from({ length: size }, (_, index) => revocation("session", `${name}${index}`));
  const tookMs = (items: readonly Revocation[]): number => {
    const startedAt = performance.now();
    revocations.take(items);
    return performance.now() - startedAt;
  };
  const [kept, beyond] = [told("kept"), told("beyond")];
  // All of them looked through for each of them would be some hundred times as much.
  expect(tookMs(kept) * 20 + 100).toBeGreaterThan(tookMs(beyond));
  expect([revocations.size, revocations.ofToken(token("beyond1"))]).toEqual([size, "unsure"]);
});

test("what is over already is heard and not kept", () => {
  const { revocations, heard } = setUp();
  revocations.take([revocation("session", "a", { expires_at: new Date(START - 2 * MINUTE).toISOString() })]);
  expect([revocations.size, heard]).toEqual([0, ["session a"]]);
});
