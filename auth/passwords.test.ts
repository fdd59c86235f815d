/** Passwords and what is stored of them, in real threads at the lowest cost. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { Secret } from "#shared/config";
import { makeLog, silentLog } from "#shared/log";
import { Deadline } from "#shared/resilience";
import { makeMetrics } from "#shared/telemetry";
import { makeHashers } from "./hashers.ts";
import { makePasswords } from "./passwords.ts";

// Bounds a hang; a busy machine is allowed to be slow.
setDefaultTimeout(30_000);

const hashers = makeHashers({ threads: 2, line: 50, log: silentLog, metrics: makeMetrics("auth", "0") });
afterAll(() => hashers[Symbol.asyncDispose]());
const lines: string[] = [];
const log = makeLog({ service: "auth", write: (line) => void lines.push(line) });
const passwords = makePasswords({ hashers, secret: new Secret("a"), cost: 5, log });
const other = makePasswords({ hashers, secret: new Secret("b"), cost: 5, log });
const soon = () => ({ deadline: Deadline.after(10_000) });

async function hashOf(password: string, from = passwords): Promise<string> {
  const hash = await from.hash(password, soon());
  if (!hash.ok) throw hash.error;
  return hash.value;
}
async function matches(password: string, stored: string | undefined, by = passwords): Promise<boolean> {
  const verdict = await by.verify(password, stored, soon());
  if (!verdict.ok) throw verdict.error;
  return verdict.value.matches;
}

// Vector of crypt_blowfish, and the seed of older installations.
const VECTOR = "$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
test.each([
  ["$2a$", "U*U", `$2a${VECTOR}`],
  ["$2b$", "U*U", `$2b${VECTOR}`],
  ["$2y$", "U*U", `$2y${VECTOR}`],
  ["an older installation", "verysecret", "$2a$12$1zGLuYDDNvATh4RA4avbKuheAMpb1svexSzrQm7up.bnpwQHs0jNe"],
])("a hash made elsewhere verifies: %s", async (_what, password, stored) => {
  expect(await matches(password, stored)).toBe(true);
  expect(await matches(`${password}!`, stored)).toBe(false);
});

test("up to 72 bytes it is plain bcrypt that anything else can read", async () => {
  for (const password of ["x", "a".repeat(72), "ü".repeat(36)]) {
    const hash = await hashOf(password);
    expect(hash).toMatch(/^\$2b\$05\$/);
    expect(Bun.password.verifySync(password, hash)).toBe(true);
    expect(await matches(password, hash)).toBe(true);
  }
});

test("beyond 72 bytes every byte counts, and the hash is worth nothing without the key", async () => {
  const long = "a".repeat(72);
  const stored = await hashOf(`${long}b`);
  expect(stored).toMatch(/^\{HMAC-SHA384\}\$2b\$05\$/);
  expect(await matches(`${long}b`, stored)).toBe(true);
  expect(await matches(`${long}c`, stored)).toBe(false);
  expect(await matches(long, stored)).toBe(false);
  expect(await matches(`${long}b`, stored, other)).toBe(false);
  expect(await matches(`${long}b`, await hashOf(long))).toBe(false);
  const emoji = "😀".repeat(64);
  expect(await matches(emoji, await hashOf(emoji))).toBe(true);
});

test("the pre-hash itself is no password", async () => {
  const stored = await hashOf("a".repeat(80));
  const bare = stored.slice("{HMAC-SHA384}".length);
  expect(await matches("a".repeat(80), bare)).toBe(false);
});

test.each([
  "",
  "x",
  "plaintext",
  "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
  `$2a$31${VECTOR.slice(3)}`,
  `$2b${VECTOR.slice(0, -1)}/`,
  "{HMAC-SHA384}",
  "$argon2id$v=19$m=19456,t=2,p=1$a$b",
])("a stored hash that is none matches nothing, fails nothing, and is reported: %p", async (stored) => {
  lines.length = 0;
  expect(await matches("U*U", stored)).toBe(false);
  expect(lines.join("")).toContain("malformed");
  expect(lines.join("")).not.toContain("CCCCC");
});

test("a lower cost is outdated when it matches, the same cost is not", async () => {
  const cheap = Bun.password.hashSync("x", { algorithm: "bcrypt", cost: 4 });
  expect(await passwords.verify("x", cheap, soon())).toMatchObject({ value: { matches: true, outdated: true } });
  expect(await passwords.verify("y", cheap, soon())).toMatchObject({ value: { matches: false, outdated: false } });
  expect(await passwords.verify("x", await hashOf("x"), soon())).toMatchObject({ value: { outdated: false } });
});

test("no stored hash, a malformed one and a cheaper one take as long as a wrong password", async () => {
  const costly = makePasswords({ hashers, secret: new Secret("a"), cost: 8, log: silentLog });
  const stored = await hashOf("right", costly);
  const cheap = Bun.password.hashSync("right", { algorithm: "bcrypt", cost: 4 });
  const times: Record<string, number[]> = { wrong: [], none: [], malformed: [], cheap: [], long: [] };
  // The quickest of each: noise only adds, so it is asked again until noise is gone. A hash that was skipped would
  // stay a small fraction for ever.
  const evenness = (): number => {
    const quickest = Object.values(times).map((all) => Math.min(...all));
    return Math.min(...quickest) / Math.max(...quickest);
  };
  for (let round = 0; round < 60 && (round < 5 || evenness() < 0.75); round += 1) {
    for (const [kind, given, hash] of [
      ["wrong", "guess", stored],
      ["none", "guess", undefined],
      ["malformed", "guess", "nonsense"],
      ["cheap", "guess", cheap],
      ["long", "g".repeat(100), stored],
    ] as const) {
      const startedAt = performance.now();
      await matches(given, hash, costly);
      times[kind]?.push(performance.now() - startedAt);
    }
  }
  expect(evenness()).toBeGreaterThan(0.75);
}, 30_000);
