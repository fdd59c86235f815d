/** `auth admin` as somebody types it, on a real PostgreSQL. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NEEDS, startAuth, type TestAuth, withServer } from "../service.test-kit.ts";
import { audits, call, loggedIn, tokenOf } from "../users/users.test-kit.ts";

setDefaultTimeout(60_000);
let auth: TestAuth;
const dir = mkdtempSync(join(tmpdir(), "auth-admin-"));
beforeAll(async () => {
  if (process.env["TEST_POSTGRES_URL"] !== undefined) auth = await startAuth();
});
afterAll(async () => {
  rmSync(dir, { recursive: true });
  await auth?.[Symbol.asyncDispose]();
});

async function admin(args: readonly string[], input = "", databaseUrl = auth?.databaseUrl) {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "../main.ts"), "admin", ...args], {
    env: { ...process.env, DATABASE_URL: databaseUrl ?? "postgres://postgres@127.0.0.1:1/users", BCRYPT_COST: "4" },
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { out, err, code };
}

withServer(`the first administrator: he logs in, and may all; listed; noted in the audit ${NEEDS}`, async () => {
  expect(await admin(["list"])).toEqual({ out: "Nobody has that role.\n", err: "", code: 0 });
  const made = await admin(["create", "Root@example.com", "--first-name", "Ann", "--json"], "a secret of mine\n");
  expect([made.err, made.code]).toEqual(["", 0]);
  const user = JSON.parse(made.out) as { id: number };
  expect(user).toMatchObject({
    email: "Root@example.com",
    role: "admin",
    active: 1,
    email_verified: true,
    first_name: "Ann",
  });
  const token = await tokenOf(auth, "root@example.com", "a secret of mine");
  expect((await call(auth, "GET", "/users", { token })).status).toBe(200);
  const listed = await admin(["list"]);
  expect(listed.out).toMatch(/^ID +ADDRESS +ROLE +ACTIVE/);
  expect(listed.out).toContain("Root@example.com");
  expect(await audits(auth, "user.created", user.id)).toEqual([
    { action: "user.created", by: expect.stringMatching(/^command:.+@/), user_id: user.id, role: "admin" },
  ]);
  const again = await admin(["create", "root@example.com"], "a secret of mine\n");
  expect([again.code, again.err]).toEqual([1, "admin: this address is taken\n"]);
});

withServer(`a password by file; one that may not be chosen is refused, and no password is shown ${NEEDS}`, async () => {
  const file = join(dir, "password");
  writeFileSync(file, "a secret of a file\r\n");
  expect((await admin(["create", "file@example.com", "--password-file", file])).code).toBe(0);
  expect(await tokenOf(auth, "file@example.com", "a secret of a file")).not.toBe("");
  for (const [password, message] of [
    ["password1", "one of the most common"],
    ["short", "8 to 1024"],
    ["", "8 to 1024"],
    ["bad@example.com", "must not be the address"],
    ["two\nlines are none", "one line"],
    ["p".repeat(5_000), "cannot be read"],
  ] as const) {
    const { out, err, code } = await admin(["create", "bad@example.com"], password);
    expect([out, code, err]).toEqual(["", 1, expect.stringContaining(message)]);
    if (password.length > 5) expect(err).not.toContain(password);
  }
  expect((await admin(["create", "bad@example.com", "--password-file", join(dir, "none")])).code).toBe(1);
  expect((await auth.sql`select 1 from users where email = 'bad@example.com'`).length).toBe(0);
});

withServer(`granted: role and scopes, and his tokens of before count no longer ${NEEDS}`, async () => {
  const ann = await loggedIn(auth, { email: "ann@example.com" });
  const granted = await admin(["grant", "ANN@example.com", "--role", "operator", "--scope", "users:read", "--json"]);
  expect(JSON.parse(granted.out)).toMatchObject({ id: ann.id, role: "operator", extra_scopes: ["users:read"] });
  expect((await call(auth, "GET", "/me", { token: ann.token })).status).toBe(401);
  expect(await audits(auth, "user.changed", ann.id)).toMatchObject([{ role: { from: "member", to: "operator" } }]);
  expect((await admin(["grant", "ann@example.com", "--no-scopes"])).code).toBe(0);
  const listed = await admin(["list", "--role", "operator", "--json"]);
  expect(JSON.parse(listed.out)).toMatchObject([{ id: ann.id, extra_scopes: [] }]);
  expect((await admin(["grant", "nobody@example.com", "--role", "admin"])).err).toContain("nobody has the address");
  await auth.sql`update users set role = 'member' where role = 'admin'`;
  expect((await admin(["grant", "ann@example.com", "--role", "admin"])).code).toBe(0);
  const last = await admin(["grant", "ann@example.com", "--role", "member"]);
  expect([last.code, last.err]).toEqual([1, "admin: this is the last active administrator: make another one first\n"]);
});

test.each([
  [["--help"], 0],
  [["help"], 0],
  [[], 2],
  [["odd"], 2],
  [["create"], 2],
  [["create", "x"], 2],
  [["create", "a@example.com", "--password", "x"], 2],
  [["create", "a@example.com", "b@example.com"], 2],
  [["grant", "a@example.com"], 2],
  [["grant", "a@example.com", "--role", "root"], 2],
  [["grant", "a@example.com", "--scope", "all"], 2],
  [["grant", "a@example.com", "--scope", "logs:read", "--no-scopes"], 2],
  [["list", "--scope", "logs:read"], 2],
] as const)("%j is answered without a database", async (args, code) => {
  const said = await admin(args, "", "postgres://postgres@127.0.0.1:1/users");
  expect([said.code, said.err === ""]).toEqual([code, code === 0]);
  if (code === 0) expect(said.out).toContain("Usage: auth admin");
});
