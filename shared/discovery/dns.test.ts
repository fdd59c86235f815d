/** A name of several addresses is several instances; by TLS each is verified by the name. The addresses are of this machine's loopback. */
import { afterEach, expect, test } from "bun:test";
import { makeJsonClient } from "#shared/client";
import { makePool } from "#shared/discovery";
import { silentLog } from "#shared/log";
import { makeRpcPool } from "./rpc-pool.ts";
import { makeMetrics, newContext } from "#shared/telemetry";
import { serveRpc } from "#shared/rpc";
import { useTls } from "#shared/tls";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { daysFromNow, makeAuthority } from "../../dev/certificates/authority.ts";
import { type Resolve, resolved, systemResolve } from "./dns.ts";

const ADDRESSES = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];

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

async function material(hosts: readonly string[]) {
  const authority = await makeAuthority("Test CA", { notAfter: daysFromNow(2) });
  const pair = await authority.issue("a service", { hosts, notAfter: daysFromNow(1) });
  const dir = await mkdtemp(join(tmpdir(), "discovery-"));
  closing.push(() => rm(dir, { recursive: true }));
  const files = { TLS_CA_FILE: join(dir, "ca.pem") };
  await Bun.write(files.TLS_CA_FILE, authority.cert);
  const using = useTls(files, silentLog);
  closing.push(() => using[Symbol.dispose]());
  return pair;
}

test.each([
  ["of the name", ["auth"], true],
  ["of another name", ["mail"], false],
  ["of the addresses", ADDRESSES, false],
])("HTTPS to addresses, a certificate %s", async (_what, hosts, isTrusted) => {
  const tls = await material(hosts);
  const asked = new Map<string, number>();
  const first = Bun.serve({ hostname: ADDRESSES[0] ?? "", port: 0, tls, fetch: answerOf("127.0.0.2") });
  const port = first.port ?? 0;
  function answerOf(address: string) {
    return (request: Request) => {
      expect(request.headers.get("host")).toBe(`auth:${port}`);
      asked.set(address, (asked.get(address) ?? 0) + 1);
      return Response.json({ error: false, message: address });
    };
  }
  const others = ADDRESSES.slice(1).map((hostname) => Bun.serve({ hostname, port, tls, fetch: answerOf(hostname) }));
  for (const server of [first, ...others]) closing.push(() => server.stop(true));
  const source = sourceOf(`https://auth:${port}`, resolver(...ADDRESSES).resolve);
  await until("resolved", () => source.current().length === 3);
  const pool = makePool({ service: "auth", source, log: silentLog });
  const client = makeJsonClient("auth", pool);
  for (let n = 0; n < 30; n += 1) {
    const told = await client.request("GET", "/x", undefined, newContext(2_000));
    expect(told.ok).toBe(isTrusted);
  }
  expect(asked.size).toBe(isTrusted ? 3 : 0);
});

test("the RPC by TLS to addresses, verified by the name; a call whose server is lost is answered by another", async () => {
  const tls = await material(["logger"]);
  const metrics = () => {
    const made = makeMetrics("test", "0");
    closing.push(() => made[Symbol.dispose]());
    return made;
  };
  const asked = new Map<string, number>();
  const serve = (host: string, port: number) => {
    const server = serveRpc({
      host,
      port,
      server: host,
      version: "0",
      log: silentLog,
      metrics: metrics(),
      drainMs: 100,
      tls: () => tls,
      methods: {
        Who: () => {
          asked.set(host, (asked.get(host) ?? 0) + 1);
          return { ok: true, value: host };
        },
      },
    });
    closing.push(() => server[Symbol.asyncDispose]());
    return server;
  };
  const [first = "", ...rest] = ADDRESSES;
  const one = serve(first, 0);
  for (const host of rest) serve(host, one.port);
  const source = sourceOf(`tls://logger:${one.port}`, resolver(...ADDRESSES).resolve);
  const connected: boolean[] = [];
  const rpc = makeRpcPool(source, {
    service: "logger",
    client: "test",
    log: silentLog,
    metrics: metrics(),
    everyMs: 50,
    onState: (up) => connected.push(up),
  });
  closing.push(() => rpc[Symbol.asyncDispose]());
  const isUp = (count: number) => rpc.pool.instances().filter(({ state }) => state === "up").length === count;
  await until("all up", () => isUp(3));
  for (let n = 0; n < 300; n += 1) expect((await rpc.call("Who", [], newContext(1_000))).ok).toBe(true);
  for (const host of ADDRESSES) expect(asked.get(host) ?? 0).toBeGreaterThan(60);
  const calls = Array.from({ length: 200 }, () => rpc.call("Who", [], newContext(1_000)));
  await Promise.all([one[Symbol.asyncDispose](), ...calls]);
  expect((await Promise.all(calls)).filter(({ ok }) => !ok)).toEqual([]);
  await until("avoided", () => isUp(2));
  for (let n = 0; n < 50; n += 1) expect((await rpc.call("Who", [], newContext(1_000))).ok).toBe(true);
  // As one it was connected all the time; before the addresses were known, it was not yet.
  expect(connected.at(-1)).toBe(true);
  serve(first, one.port);
  await until("back", () => isUp(3), 5_000);
});
