/** The command, as an operator runs it, on a real PostgreSQL. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { NEEDS, startAuth, withServer } from "../service.test-kit.ts";

setDefaultTimeout(30_000);

withServer(`lists what has not ended, and lets a stuck workflow go on ${NEEDS}`, async () => {
  await using auth = await startAuth();
  const sagas = async (...args: string[]): Promise<readonly [number, string]> => {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "../main.ts"), "sagas", ...args], {
      env: { ...process.env, DATABASE_URL: auth.databaseUrl },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [said, code] = await Promise.all([child.stdout.text(), child.exited]);
    return [code, said];
  };
  expect(await sagas("list")).toEqual([0, ""]);
  const { json } = await auth.post("/users", { email: "ann@example.com", password: "long enough" });
  expect(json.message).toBe("User registered");
  const [code, listed] = await sagas("list");
  const saga = JSON.parse(listed) as { id: string; error?: string };
  expect([code, saga]).toEqual([
    0,
    expect.objectContaining({ name: "user.registration", state: "running", step: "welcome_mail" }),
  ]);
  expect((await sagas("retry", saga.id))[0]).toBe(1);
  await auth.sql`update sagas set state = 'stuck', claim = null where id = ${saga.id}`;
  expect((await sagas("list", "stuck"))[1]).toContain(saga.id);
  expect(await sagas("retry", saga.id)).toEqual([0, `${saga.id} goes on\n`]);
  expect(await auth.sql`select state from sagas`).toMatchObject([{ state: "running" }]);
  expect((await sagas("odd"))[0]).toBe(2);
});

test.each([
  [["--help"], 0],
  [["odd"], 2],
  [["list", "odd"], 2],
  [["retry", "no-id"], 2],
] as const)(
  "%j is answered without a database",
  async (args, code) => {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "../main.ts"), "sagas", ...args], {
      env: { ...process.env, DATABASE_URL: "postgres://postgres@127.0.0.1:1/users" },
      stdout: "pipe",
      stderr: "pipe",
    });
    const said = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect(said.slice(0, 2).join("")).toContain("usage: sagas list");
    expect(said[2]).toBe(code);
  },
  5_000,
);
