/**
 * A flood of logins, each of which costs what a hash costs: whoever is logged in is not held up, what cannot be hashed in
 * time is refused at once and in words, and when it is over everything is as it was.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { LoginReply } from "#contracts/auth";
import { ALONE_START_MS, alone, HAS_BACKING, type Platform, startPlatform, until } from "../kit.ts";

const ADMIN = { email: "admin@example.com", password: "verysecret" };
/** Who log in without end: more than are hashed and wait for it (HASH_QUEUE). */
const IN_FLIGHT = 64;
/** Who is refused comes again after this time (ms), four times as soon as the least that he is told. */
const AGAIN_MS = 250;
const PHASE_MS = 5_000;
const ME_EVERY_MS = 50;
const REGISTER_EVERY_MS = 1_000;
/**
 * Of `GET /v1/me` at p95, on a machine that answers a login alone in `LOGIN_MS`; a slower one has more, in proportion. Or so many
 * times what it takes when nothing else happens.
 */
const BAR_MS = 100;
const LOGIN_MS = 250;
const TIMES_IDLE = 5;
/** A hash that has begun is done, and comes late where the machine stands still under it: so many of a thousand logins. */
const LATE_MAX = 2;
/** Machines are shared: what holds is seen in one of them. */
const TRIES = 3;
/**
 * A login alone, before and after (ms): two hashes in a row, at a third of the speed, are done within the 2.5 s that the broker
 * gives auth. Where it takes longer the machine has other things to do, and no time that is taken there says anything.
 */
const FAST_MS = 420;

/** 504 where the machine stood still under one: not what should be, and tried again. */
const LOGIN_ANSWERS: ReadonlySet<number> = new Set([201, 401, 503, 504]);

interface Told {
  readonly status: number;
  readonly headers: Headers;
  readonly tookMs: number;
}

describe.skipIf(!HAS_BACKING)("a flood of logins (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  let token: string;
  let turn: Disposable;
  beforeAll(async () => {
    turn = await alone();
    platform = await startPlatform({ env: { BCRYPT_COST: "12" } });
    // Somebody else than those who flood: of one's own sessions the oldest end where there are too many.
    const who = { email: "somebody@example.com", password: "a first secret" };
    await platform.post("broker", "/v1/users", who);
    const login = await platform.post("broker", "/v1/sessions", who);
    token = (login.body.data as LoginReply).access_token;
  }, ALONE_START_MS);
  afterAll(async () => {
    await platform?.[Symbol.asyncDispose]();
    turn?.[Symbol.dispose]();
  }, 60_000);

  async function ask(path: string, body?: unknown): Promise<Told> {
    const startedAt = performance.now();
    const answer = await fetch(`${platform.url("broker")}${path}`, {
      ...(body === undefined
        ? { headers: { authorization: `Bearer ${token}` } }
        : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(20_000),
    });
    await answer.arrayBuffer();
    return { status: answer.status, headers: answer.headers, tookMs: performance.now() - startedAt };
  }

  /** Asks at its times, whether what was asked before is answered or not: who waits is counted in full. */
  async function atIntervals(everyMs: number, one: () => Promise<Told>): Promise<Told[]> {
    const startedAt = performance.now();
    const asked: Promise<Told>[] = [];
    for (let at = 0; at < PHASE_MS; at += everyMs) {
      const late = performance.now() - startedAt - at;
      if (late < 0) await Bun.sleep(-late);
      asked.push(one());
    }
    return Promise.all(asked);
  }

  async function flood(signal: AbortSignal): Promise<Told[]> {
    const told: Told[] = [];
    const one = async (index: number): Promise<void> => {
      while (!signal.aborted) {
        const password = (index + told.length) % 2 === 0 ? ADMIN.password : "not this one";
        const answer = await ask("/v1/sessions", { email: ADMIN.email, password });
        told.push(answer);
        if (answer.status === 503) await Bun.sleep(AGAIN_MS);
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, (_, index) => one(index)));
    return told;
  }

  async function loginAlone(): Promise<number> {
    const times = [await ask("/v1/sessions", ADMIN), await ask("/v1/sessions", ADMIN)].map(({ tookMs }) => tookMs);
    return Math.max(...times);
  }

  let people = 0;
  const register = () =>
    ask("/v1/users", { email: `flood-${process.pid}-${(people += 1)}@example.com`, password: "a first secret" });
  const me = () => ask("/v1/me");

  const p95 = (all: readonly Told[]): number => {
    const times = all.map(({ tookMs }) => tookMs).toSorted((a, b) => a - b);
    return times[Math.floor(times.length * 0.95)] ?? Number.POSITIVE_INFINITY;
  };
  const statuses = (all: readonly Told[]): number[] =>
    [...new Set(all.map(({ status }) => status))].toSorted((a, b) => a - b);
  /** What is wrong with those that were refused for there being too many. */
  const badlyShed = (all: readonly Told[]): Told[] =>
    all.filter(
      ({ status, headers }) =>
        status === 503 &&
        (!/^[1-9]\d*$/.test(headers.get("retry-after") ?? "") || headers.get("x-overloaded") !== "true"),
    );

  test("who is logged in is answered as quickly as ever, people register, and what is too much is refused in words", async () => {
    const seen: string[] = [];
    let judged = 0;
    for (let tried = 0; tried < TRIES; tried += 1) {
      const before = await loginAlone();
      const idle = await atIntervals(ME_EVERY_MS, me);
      const over = new AbortController();
      const [asked, registrations, logins] = await Promise.all([
        atIntervals(ME_EVERY_MS, me).finally(() => over.abort()),
        atIntervals(REGISTER_EVERY_MS, register),
        flood(over.signal),
      ]);
      const count = (status: number) => logins.filter((one) => one.status === status).length;
      const said = `idle ${p95(idle).toFixed(1)} ms ${statuses(idle).join("+")}, flood ${p95(asked).toFixed(1)} ms ${statuses(asked).join("+")}; logins ${statuses(
        logins,
      )
        .map((status) => `${status}: ${count(status)}`)
        .join(", ")}; registrations ${registrations.map(({ status }) => status).join(" ")}`;

      expect(statuses(logins).filter((status) => !LOGIN_ANSWERS.has(status))).toEqual([]);
      expect(badlyShed([...logins, ...registrations])).toEqual([]);
      await until("logins go on at once", async () => (await ask("/v1/sessions", ADMIN)).status === 201);
      await until("registrations go on at once", async () => (await register()).status === 201);
      const areServed = [...idle, ...asked].every(({ status }) => status === 200);
      const isQuick = p95(asked) <= Math.max(BAR_MS * Math.max(1, before / LOGIN_MS), TIMES_IDLE * p95(idle));
      const allIn = registrations.every(({ status }) => status === 201);
      // Some of each: it was a flood, and not all was refused.
      const someOfEach = [201, 401, 503].every((status) => count(status) > 0);
      if (areServed && isQuick && allIn && someOfEach && count(504) <= LATE_MAX) return;
      const after = await loginAlone();
      if (Math.max(before, after) > FAST_MS) continue;
      judged += 1;
      seen.push(said);
    }
    if (judged === TRIES) expect(seen).toEqual([]);
  }, 120_000);
});
