/** Signing keys through their lives, with the command, at two replicas, on a real PostgreSQL. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { decodeProtectedHeader } from "jose";
import type { TokenReply } from "#contracts/auth";
import { NEEDS, startAuth, type TestAuth, until, withServer } from "../service.test-kit.ts";
import { readKeysCommand } from "./keys-command.ts";

setDefaultTimeout(60_000);

interface Line {
  readonly kid: string;
  readonly state: "published" | "signing" | "retired";
}
async function keys(
  { databaseUrl }: TestAuth,
  ...args: string[]
): Promise<{ code: number; lines: Line[]; err: string }> {
  const command = Bun.spawn([process.execPath, "auth/main.ts", "keys", ...args], {
    cwd: `${import.meta.dir}/../..`,
    env: { PATH: process.env["PATH"] ?? "", DATABASE_URL: databaseUrl },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(command.stdout).text(),
    new Response(command.stderr).text(),
    command.exited,
  ]);
  const lines = out.split("\n").filter((line) => line.startsWith('{"kid"'));
  return { code, lines: lines.map((line) => JSON.parse(line) as Line), err };
}
const kidOf = (token: string): unknown => decodeProtectedHeader(token).kid;
async function published(at: { url: string }): Promise<string[]> {
  const set = (await (await fetch(`${at.url}/.well-known/jwks.json`)).json()) as { keys: { kid: string }[] };
  return set.keys.map(({ kid }) => kid);
}

test("what is no command is told so", () => {
  expect(readKeysCommand([])).toMatchObject({ value: { verb: "list" } });
  expect(readKeysCommand(["retire", "abc", "--compromised"])).toMatchObject({
    value: { kid: "abc", compromised: true },
  });
  for (const args of [
    ["retire"],
    ["rotate", "x"],
    ["drop"],
    ["retire", "a", "--x"],
    ["retire", "a b"],
    ["retire", "a", "--compromised", "b"],
  ]) {
    expect([args, readKeysCommand(args).ok]).toEqual([args, false]);
  }
});

withServer(
  `rotation under load: published, then signing, then retired, and not one token is refused ${NEEDS}`,
  async () => {
    await using auth = await startAuth();
    const { app, sql } = auth;
    await using other = await auth.begin();
    const replicas = [app, other];
    const user = await auth.addUser();
    const [old = ""] = await published(app);
    const wrong: string[] = [];
    const seen = new Set<unknown>();
    const stopped = new AbortController();
    /** Refreshes at one replica and uses the token at the other. */
    const use = async (): Promise<void> => {
      let { refresh_token: token } = await auth.login(user.email);
      for (let turn = 0; !stopped.signal.aborted; turn += 1) {
        const reply = await auth.post("/sessions/refresh", { refresh_token: token }, {}, replicas[turn % 2]);
        const data = reply.json.data as unknown as TokenReply;
        if (reply.status === 200) {
          token = data.refresh_token;
          seen.add(kidOf(data.access_token));
          const me = await auth.ask("GET", "/me", data.access_token, undefined, replicas[(turn + 1) % 2]);
          if (me.status !== 200) wrong.push(`me ${me.status} ${me.text}`);
        } else wrong.push(`refresh ${reply.status} ${reply.text}`);
      }
    };
    const load = Promise.all([use(), use(), use()]);
    try {
      const rotated = await keys(auth, "rotate");
      expect([rotated.code, rotated.lines.map(({ state }) => state)]).toEqual([0, ["published", "signing"]]);
      const next = rotated.lines[0]?.kid ?? "";
      for (const at of replicas) await until("published everywhere", async () => (await published(at)).includes(next));
      expect([...seen]).toEqual([old]);
      // Not five minutes later, but soon.
      await sql`update signing_keys set activates_at = now() + interval '300 milliseconds' where kid = ${next}`;
      await sql`update signing_keys set retired_at = now() + interval '300 milliseconds' where kid = ${old}`;
      await sql`select pg_notify('auth_signing_keys', '')`;
      await until("the new one signs", () => seen.has(next));
      const { access_token } = await auth.login(user.email);
      expect(kidOf(access_token)).toBe(next);
      expect((await keys(auth, "list")).lines.map(({ kid, state }) => [kid, state])).toEqual([
        [next, "signing"],
        [old, "retired"],
      ]);
      for (const at of replicas) expect(await published(at)).toEqual([next, old]);
    } finally {
      stopped.abort();
      await load;
    }
    expect(wrong).toEqual([]);
    const told = await auth.waiting();
    expect(told).toContainEqual({ to: "identity", key: "signing_keys.changed", body: {} });
    expect(told).toContainEqual(
      expect.objectContaining({ data: expect.objectContaining({ action: "signing_key.added", by: "command" }) }),
    );
  },
);

withServer(
  `a key that somebody else has: its tokens count nowhere at once, and who refreshes goes on ${NEEDS}`,
  async () => {
    await using auth = await startAuth();
    await using other = await auth.begin();
    const user = await auth.addUser();
    const session = await auth.login(user.email);
    const kid = String(kidOf(session.access_token));
    const unknown = await keys(auth, "retire", "nobody");
    expect([unknown.code, unknown.err + JSON.stringify(unknown.lines)]).not.toContain(0);
    const retired = await keys(auth, "retire", kid, "--compromised");
    expect([retired.code, retired.lines.map(({ state }) => state)]).toEqual([0, ["signing"]]);
    for (const at of [auth.app, other]) {
      await until(
        "refused",
        async () => (await auth.ask("GET", "/me", session.access_token, undefined, at)).status === 401,
      );
      expect(await published(at)).not.toContain(kid);
    }
    const reply = await auth.post("/sessions/refresh", { refresh_token: session.refresh_token }, {}, other);
    expect(reply.status).toBe(200);
    const { access_token } = reply.json.data as unknown as TokenReply;
    expect((await auth.ask("GET", "/me", access_token)).status).toBe(200);
  },
);

withServer(`retired and not compromised: signs no more, verifies on ${NEEDS}`, async () => {
  await using auth = await startAuth();
  const user = await auth.addUser();
  const session = await auth.login(user.email);
  const kid = String(kidOf(session.access_token));
  const retired = await keys(auth, "retire", kid);
  expect(retired.lines.map(({ state }) => state).toSorted()).toEqual(["retired", "signing"]);
  await until("another one signs", async () => kidOf((await auth.login(user.email)).access_token) !== kid);
  expect((await auth.ask("GET", "/me", session.access_token)).status).toBe(200);
  expect((await keys(auth, "retire", kid)).code).toBe(1);
});
