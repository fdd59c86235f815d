/** Nobody is logged out without a reason: tabs that share a login, answers that are lost. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { between, seeded } from "../../dev/chaos/random.ts";
import { bearer, HAS_SERVERS, type Login, NEEDS, startTrio, type Trio } from "./trio.ts";

const REFRESHES = 1_000;

describe.skipIf(!HAS_SERVERS)(`tabs of one login ${NEEDS}`, () => {
  let trio: Trio;
  beforeAll(async () => {
    trio = await startTrio();
  }, 60_000);
  afterAll(() => trio?.[Symbol.asyncDispose](), 60_000);

  /** What tabs of one origin share. */
  const refreshAt = (broker: number, token: string) =>
    trio.ask(broker, "POST", "/v1/sessions/refresh", { refresh_token: token });

  test(`two tabs refresh ${REFRESHES} times between them, each by its own broker: nobody is logged out`, async () => {
    const login = await trio.login(await trio.register());
    const storage = { refresh_token: login.refresh_token, access_token: login.access_token };
    const refused: unknown[] = [];
    const seen = new Set<string>([login.refresh_token]);
    let done = 0;
    const tab = async (broker: number): Promise<void> => {
      while (done < REFRESHES && refused.length === 0) {
        done += 1;
        const said = await refreshAt(broker, storage.refresh_token);
        if (said.status !== 200) refused.push([done, said.status, said.message]);
        // As a page does: whoever comes last writes what both read the next time.
        storage.refresh_token = String(said.data["refresh_token"]);
        storage.access_token = String(said.data["access_token"]);
        seen.add(storage.refresh_token);
      }
    };
    await Promise.all([tab(0), tab(1)]);
    expect(refused).toEqual([]);
    expect(done).toBe(REFRESHES);
    // They did go on: the token that works is a late one.
    expect(seen.size).toBeGreaterThan(REFRESHES / 4);
    const me = await trio.ask(2, "GET", "/v1/me", undefined, bearer(storage.access_token));
    expect([me.status, me.data["session_id"]]).toEqual([200, login.session_id]);
  }, 120_000);

  test("[8] twenty refreshes of one token at once, at three brokers: one successor, and it works", async () => {
    const login = await trio.login(await trio.register());
    const all = await Promise.all(Array.from({ length: 20 }, (_, index) => refreshAt(index % 3, login.refresh_token)));
    expect(all.map(({ status }) => status)).toEqual(Array(20).fill(200));
    const successors = new Set(all.map(({ data }) => data["refresh_token"]));
    expect(successors.size).toBe(1);
    const [next] = successors;
    expect((await refreshAt(1, String(next))).status).toBe(200);
  }, 30_000);

  test("[8] answers that are lost, three times in a row: the old token leads to the one that counts", async () => {
    const login = await trio.login(await trio.register());
    const random = seeded(8);
    let token = login.refresh_token;
    for (let round = 0; round < 30; round += 1) {
      let answer = await refreshAt(round % 3, token);
      for (let lost = between(random, 0, 3); lost > 0; lost -= 1) {
        const again = await refreshAt((round + lost) % 3, token);
        expect([again.status, again.data["refresh_token"]]).toEqual([200, answer.data["refresh_token"]]);
        answer = again;
      }
      token = String(answer.data["refresh_token"]);
    }
    expect(((await refreshAt(0, token)).data as unknown as Login).session_id).toBe(login.session_id);
  }, 60_000);

  test("a token that was changed in one character ends nobody's session", async () => {
    const login = await trio.login(await trio.register());
    const { refresh_token: token } = login;
    for (let at = 0; at < token.length; at += 3) {
      const wrong = token.charAt(at) === "A" ? "B" : "A";
      const said = await refreshAt(0, token.slice(0, at) + wrong + token.slice(at + 1));
      expect([401, 422]).toContain(said.status);
    }
    expect((await refreshAt(0, token)).status).toBe(200);
  }, 30_000);
});
