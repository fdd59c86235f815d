/** Which instance an attempt goes to, and what becomes of one that fails. Servers are real ones, on addresses of this machine. */
import { afterEach, expect, test } from "bun:test";
import { makeJsonClient } from "#shared/client";
import { atSome, type Endpoint, makePool, type Pool } from "#shared/discovery";
import { fail, ok } from "#shared/errors";
import { silentLog } from "#shared/log";
import { newContext } from "#shared/telemetry";
import { makeListeners, type Source } from "./endpoint.ts";
import { probeHttp } from "./probe.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function until(what: string, isSo: () => boolean, ms = 5_000): Promise<number> {
  const startedAt = performance.now();
  while (!isSo()) {
    if (performance.now() - startedAt > ms) throw new Error(`not within ${ms} ms: ${what}`);
    await Bun.sleep(5);
  }
  return performance.now() - startedAt;
}

/** Instances that a test puts in and takes out. */
function listOf(...urls: string[]): Source & { set(...next: Endpoint[]): void } {
  const listeners = makeListeners();
  let endpoints: Endpoint[] = urls.map((url) => ({ url }));
  return {
    current: () => endpoints,
    onChange: (changed) => listeners.add(changed),
    set(...next) {
      endpoints = next;
      listeners.tell();
    },
    [Symbol.dispose]: () => undefined,
  };
}

type Answer = () => Response | Promise<Response>;
const READY: Answer = () => Response.json({ error: false, message: "ready" });

function instance(port = 0) {
  const state = { ready: READY, answer: READY, asked: 0, url: "", port: 0, stop: () => server.stop(true) };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    fetch(request) {
      if (new URL(request.url).pathname === "/ready") return state.ready();
      state.asked += 1;
      return state.answer();
    },
  });
  closing.push(() => server.stop(true));
  state.url = server.url.origin;
  state.port = server.port ?? 0;
  return state;
}

function watched(source: Source): Pool {
  const pool = makePool({ service: "test", source, log: silentLog, probe: probeHttp, everyMs: 50 });
  closing.push(() => pool[Symbol.dispose]());
  return pool;
}

const states = (pool: Pool): string[] => pool.instances().map(({ state }) => state);

/** Attempts one after the other; the shares of the instances. */
function shares(pool: Pool, attempts: number): number[] {
  const counts = new Map(pool.instances().map(({ endpoint }) => [endpoint.url, 0]));
  for (let n = 0; n < attempts; n += 1) {
    const choice = pool.pick();
    counts.set(choice?.endpoint.url ?? "", (counts.get(choice?.endpoint.url ?? "") ?? 0) + 1);
    choice?.end("nothing");
  }
  return [...counts.values()].map((count) => count / attempts);
}

test("idle instances are chosen evenly, and of two the less busy one", () => {
  const pool = makePool({ service: "test", source: listOf("http://a", "http://b", "http://c"), log: silentLog });
  for (const share of shares(pool, 30_000)) expect(Math.abs(share - 1 / 3)).toBeLessThan(0.02);
  // One never answers: it is soon left alone.
  const hanging = pool.pick(new Set(["http://b", "http://c"]));
  expect(hanging?.endpoint.url).toBe("http://a");
  const [slow = 1] = shares(pool, 3_000);
  expect(slow).toBe(0);
  hanging?.end("nothing");
});

test("one that cannot be reached is avoided at once, the request goes to another, and it is found again by a probe", async () => {
  const all = [instance(), instance(), instance()];
  const pool = watched(listOf(...all.map(({ url }) => url)));
  const client = makeJsonClient("test", pool);
  await until("all up", () => states(pool).every((state) => state === "up"));
  const [first] = all;
  await first?.stop();
  for (let n = 0; n < 60; n += 1) {
    // Nothing was sent, so that a POST may go elsewhere.
    expect(await client.request("POST", "/x", {}, newContext(1_000))).toMatchObject({
      ok: true,
      value: { status: 200 },
    });
  }
  expect(states(pool)[0]).toBe("down");
  const again = instance(first?.port);
  await until("up again", () => states(pool)[0] === "up");
  for (let n = 0; n < 60; n += 1) await client.request("GET", "/x", undefined, newContext(1_000));
  expect(again.asked).toBeGreaterThan(5);
});

test("one that hangs, or is not ready, is avoided by its probe; where all are, all are tried", async () => {
  const all = [instance(), instance()];
  const pool = watched(listOf(...all.map(({ url }) => url)));
  await until("all up", () => states(pool).every((state) => state === "up"));
  const [first, second] = all;
  if (first === undefined || second === undefined) throw new Error("two");
  first.ready = () => new Promise(() => undefined);
  expect(await until("avoided", () => states(pool)[0] === "down")).toBeLessThan(1_500);
  expect(shares(pool, 100)).toEqual([0, 1]);
  first.ready = () => Response.json({ error: true, message: "not ready" }, { status: 503 });
  await until("seen", () => states(pool)[0] === "not_ready");
  expect(shares(pool, 100)).toEqual([0, 1]);
  second.ready = first.ready;
  await until("seen", () => states(pool)[1] === "not_ready");
  expect(Math.min(...shares(pool, 1_000))).toBeGreaterThan(0.3);
});

test("one that answers badly is avoided for a moment, longer each time, and used again after it", async () => {
  const pool = makePool({ service: "test", source: listOf("http://a", "http://b"), log: silentLog });
  const only = (url: string) => pool.pick(new Set(["http://a", "http://b"].filter((other) => other !== url)));
  only("http://a")?.end("well");
  only("http://b")?.end("well");
  only("http://a")?.end("sick");
  expect(shares(pool, 100)).toEqual([0, 1]);
  expect(await until("tried again", () => shares(pool, 20)[0] !== 0)).toBeLessThan(400);
  only("http://a")?.end("sick");
  only("http://a")?.end("sick");
  expect(await until("tried again", () => shares(pool, 20)[0] !== 0)).toBeGreaterThan(400);
});

test("time that was not fair says nothing of the instance, time that was does", async () => {
  const pool = makePool({ service: "test", source: listOf("http://a", "http://b"), log: silentLog });
  for (const url of ["http://a", "http://b"]) {
    const choice = pool.pick(new Set([url === "http://a" ? "http://b" : "http://a"]));
    choice?.end("well");
  }
  const late = async (remaining: number, tookMs: number): Promise<void> => {
    const options = { remainingMs: () => remaining, isRepeatable: true };
    await atSome(pool, options, async () => {
      await Bun.sleep(tookMs);
      return fail("deadline");
    });
  };
  await late(100, 100);
  expect(Math.min(...shares(pool, 1_000))).toBeGreaterThan(0.3);
  // The asker went away while there was time.
  await late(10_000, 20);
  expect(Math.min(...shares(pool, 1_000))).toBeGreaterThan(0.3);
  await late(600, 600);
  expect(Math.min(...shares(pool, 100))).toBe(0);
});

test("what was lost on the way is repeated where that is harmless only, each instance is tried once", async () => {
  const pool = makePool({ service: "test", source: listOf("http://a", "http://b", "http://c"), log: silentLog });
  const lost = Object.assign(new Error("reset"), { code: "ECONNRESET" });
  async function tries(isRepeatable: boolean): Promise<string[]> {
    const urls: string[] = [];
    await atSome(pool, { remainingMs: () => 1_000, isRepeatable }, ({ url }) => {
      urls.push(url);
      return Promise.resolve(fail("unavailable", undefined, { cause: lost }));
    });
    return urls;
  }
  expect(await tries(false)).toHaveLength(1);
  expect((await tries(true)).sort()).toEqual(["http://a", "http://b", "http://c"]);
  const well = await atSome(pool, { remainingMs: () => 1_000, isRepeatable: false }, () => Promise.resolve(ok("x")));
  expect(well).toEqual(ok("x"));
});

test("instances come and go; those of the configuration are used where no announced one can be reached", async () => {
  const [announced, configured] = [instance(), instance()];
  const source = listOf(configured.url);
  const pool = watched(source);
  let told = 0;
  using _watching = pool.onChange(() => (told += 1));
  source.set({ url: announced.url }, { url: configured.url, isFallback: true });
  expect(told).toBe(1);
  await until("up", () => states(pool).every((state) => state === "up"));
  expect(shares(pool, 100)).toEqual([1, 0]);
  await announced.stop();
  await until("down", () => states(pool)[0] === "down");
  expect(shares(pool, 100)).toEqual([0, 1]);
});

test("who is one of one is always chosen, and only asked where its health is of interest", async () => {
  const only = instance();
  let probes = 0;
  only.ready = () => {
    probes += 1;
    return READY();
  };
  const pool = watched(listOf(only.url));
  pool.pick()?.end("unsent", new Error("away"));
  expect(pool.pick()?.endpoint.url).toBe(only.url);
  await Bun.sleep(50);
  expect(probes).toBe(0);
  const health: unknown[] = [];
  const shown = makePool({
    service: "test",
    source: listOf(only.url),
    log: silentLog,
    probe: probeHttp,
    onHealth: (one) => health.push(one.up),
  });
  closing.push(() => shown[Symbol.dispose]());
  await until("asked", () => health.length > 0);
  expect(health).toEqual([true]);
});
