/** A name of several addresses is several instances. How their certificates are verified: test/security/tls/discovery.test.ts. */
import { afterEach, expect, test } from "bun:test";
import { silentLog } from "#shared/log";
import { type Resolve, resolved, systemResolve } from "./dns.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function until<T>(what: string, look: () => T | undefined | false, ms = 5_000): Promise<T> {
  const endsAt = performance.now() + ms;
  for (;;) {
    const seen = look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > endsAt) throw new Error(`not within ${ms} ms: ${what}`);
    await Bun.sleep(5);
  }
}

/** A resolver whose answers a test gives. */
function resolver(...addresses: string[]) {
  const state = { asked: 0, answer: (): Promise<readonly string[]> => Promise.resolve(addresses) };
  const resolve: Resolve = () => {
    state.asked += 1;
    return state.answer();
  };
  return { state, resolve };
}

function sourceOf(url: string, resolve: Resolve, options = {}) {
  const source = resolved([url], { log: silentLog, resolve, everyMs: 20, withinMs: 50, ...options });
  closing.push(() => source[Symbol.dispose]());
  return source;
}

test("addresses become instances; until there are any it is the name; an address is no name, and neither is localhost", async () => {
  const { state, resolve } = resolver("10.0.0.2", "10.0.0.1");
  const source = sourceOf("http://auth:8081", resolve);
  let told = 0;
  using _watching = source.onChange(() => (told += 1));
  expect(source.current()).toEqual([{ url: "http://auth:8081" }]);
  await until("resolved", () => source.current().length === 2);
  expect(source.current()).toEqual([
    { url: "http://10.0.0.1:8081", authority: "auth:8081" },
    { url: "http://10.0.0.2:8081", authority: "auth:8081" },
  ]);
  const askedThen = state.asked;
  await until("asked again", () => state.asked > askedThen + 3);
  expect(told).toBe(1);
  const own = resolver("10.0.0.9");
  for (const url of ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "tcp://localhost:1"]) {
    expect(sourceOf(url, own.resolve).current()).toEqual([{ url }]);
  }
  expect(own.state.asked).toBe(0);
  const six = sourceOf("tcp://logger:5001", resolver("fd00::1").resolve);
  await until("resolved", () => six.current()[0]?.url === "tcp://[fd00::1]:5001");
});

test("a resolver that fails, knows nothing or hangs leaves what is known; one that hangs is asked once", async () => {
  const { state, resolve } = resolver("10.0.0.1");
  const source = sourceOf("http://auth:8081", resolve, { keptMs: 100 });
  const isKnown = () => source.current()[0]?.url === "http://10.0.0.1:8081";
  await until("resolved", isKnown);
  for (const answer of [() => Promise.reject(new Error("SERVFAIL")), () => Promise.resolve([])]) {
    state.answer = answer;
    const before = state.asked;
    await until("asked", () => state.asked > before + 8);
    expect(isKnown()).toBe(true);
  }
  state.answer = () => new Promise(() => undefined);
  const before = state.asked;
  await Bun.sleep(300);
  expect(state.asked - before).toBeLessThanOrEqual(2);
  expect(isKnown()).toBe(true);
});

test("an address that answers do not name any more is kept for a while, and then gone", async () => {
  const { state, resolve } = resolver("10.0.0.1", "10.0.0.2");
  const source = sourceOf("http://auth:8081", resolve, { keptMs: 200 });
  await until("both", () => source.current().length === 2);
  state.answer = () => Promise.resolve(["10.0.0.1"]);
  const since = performance.now();
  await until("one", () => source.current().length === 1);
  expect(performance.now() - since).toBeGreaterThan(150);
});

test("names are resolved as the system does", async () => {
  expect(await systemResolve("localhost")).not.toEqual([]);
});
