/** Signing keys change while tokens are signed and verified at three brokers, and nobody is told a wrong thing for it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { decodeProtectedHeader } from "jose";
import { until } from "../../auth/service.test-kit.ts";
import { KEYS_CHANNEL } from "../../auth/sessions/key-store.ts";
import { bearer, HAS_SERVERS, type Login, NEEDS, startTrio, type Trio } from "./trio.ts";

const AUTH = join(import.meta.dir, "../../auth/main.ts");
const CLIENTS = 6;
const ROTATIONS = 3;

describe.skipIf(!HAS_SERVERS)(`signing keys change ${NEEDS}`, () => {
  let trio: Trio;
  beforeAll(async () => {
    trio = await startTrio();
  }, 60_000);
  afterAll(() => trio?.[Symbol.asyncDispose](), 60_000);

  /** `auth keys …`, as an operator types it. */
  async function keys(...words: readonly string[]): Promise<{ kid: string; state?: string }[]> {
    const child = Bun.spawn([process.execPath, AUTH, "keys", ...words], {
      env: { PATH: process.env["PATH"], DATABASE_URL: trio.auth.databaseUrl },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`auth keys ${words.join(" ")}: ${code} ${err}`);
    return out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { kid: string });
  }
  const published = async (): Promise<string[]> => {
    const answer = await fetch(`${trio.auth.app.url}/.well-known/jwks.json`);
    return ((await answer.json()) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
  };
  /** As if the time were over that a new key is only published. */
  async function activate(kid: string): Promise<void> {
    await trio.auth.sql`update signing_keys set activates_at = now() where kid = ${kid}`;
    await trio.auth.sql.notify(KEYS_CHANNEL, "");
  }
  const kidOf = (token: string): string => String(decodeProtectedHeader(token).kid);
  const refresh = async (broker: number, token: string) =>
    trio.ask(broker, "POST", "/v1/sessions/refresh", { refresh_token: token });
  const newKid = async (before: readonly string[]): Promise<string> =>
    until("it is published", async () => (await published()).find((kid) => !before.includes(kid)));

  test(`[10] ${ROTATIONS} rotations and a retirement under load: no wrong answer`, async () => {
    const email = await trio.register();
    const wrong: unknown[] = [];
    const kids = new Set<string>();
    let asked = 0;
    const stop = new AbortController();
    const client = async (index: number): Promise<void> => {
      let login = await trio.login(email, index % 3);
      for (let round = index; !stop.signal.aborted && wrong.length === 0; round += 1) {
        const refreshed = await refresh(round % 3, login.refresh_token);
        if (refreshed.status === 200) login = { ...login, ...(refreshed.data as unknown as Login) };
        else wrong.push(["refresh", refreshed.status, refreshed.message]);
        kids.add(kidOf(login.access_token));
        for (const [method, path] of [
          ["GET", "/v1/me"],
          ["POST", "/"],
        ] as const) {
          const said = await trio.ask((round + 1) % 3, method, path, undefined, bearer(login.access_token));
          if (said.status !== 200) wrong.push([method, path, said.status, said.message]);
          asked += 1;
        }
      }
    };
    const load = Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)));
    try {
      for (let rotation = 0; rotation < ROTATIONS; rotation += 1) {
        const before = await published();
        await keys("rotate");
        const kid = await newKid(before);
        // It is known to all before anything is signed with it.
        expect(kids.has(kid)).toBe(false);
        await activate(kid);
        await until("it signs", () => kids.has(kid));
      }
      const [last] = [...kids].slice(-1);
      const before = new Set(kids);
      await keys("retire", last ?? "");
      await until("another one signs", () => [...kids].some((kid) => !before.has(kid)) || wrong.length > 0);
    } finally {
      stop.abort();
      await load;
    }
    expect(wrong).toEqual([]);
    expect(kids.size).toBeGreaterThan(ROTATIONS);
    expect(asked).toBeGreaterThan(100);
  }, 120_000);

  test("[10] a key that got out: its tokens count nowhere any more, and whoever has a session gets another token", async () => {
    const login = await trio.login(await trio.register());
    await keys("retire", kidOf(login.access_token), "--compromised");
    await until("refused everywhere", async () => {
      const taken = await Promise.all([0, 1, 2].map((broker) => trio.takes(broker, login.access_token)));
      return !taken.includes(true);
    });
    const refreshed = (await refresh(1, login.refresh_token)).data as unknown as Login;
    expect(kidOf(refreshed.access_token)).not.toBe(kidOf(login.access_token));
    for (const broker of [0, 1, 2]) expect(await trio.takes(broker, refreshed.access_token)).toBe(true);
  }, 60_000);
});
