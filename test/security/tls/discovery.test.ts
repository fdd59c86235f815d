/** Instances that DNS tells of: whatever their addresses, their certificates are verified by the name. The addresses are of this machine's loopback. */
import { afterEach, expect, test } from "bun:test";
import { makeJsonClient } from "#shared/client";
import { makePool, makeRpcPool, resolved } from "#shared/discovery";
import { silentLog } from "#shared/log";
import { serveRpc } from "#shared/rpc";
import { makeMetrics, newContext } from "#shared/telemetry";
import { until } from "../../kit.ts";
import { issue, makeFiles, newAuthority, use } from "./tls.test-kit.ts";

const ADDRESSES = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

function sourceOf(url: string) {
  const source = resolved([url], { log: silentLog, resolve: () => Promise.resolve(ADDRESSES), everyMs: 20 });
  closing.push(() => source[Symbol.dispose]());
  return source;
}

async function material(hosts: readonly string[]) {
  const authority = await newAuthority();
  const pair = await issue(authority, "a service", hosts);
  const files = makeFiles(authority, pair);
  const using = use(files);
  closing.push(
    () => files[Symbol.dispose](),
    () => using[Symbol.dispose](),
  );
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
  const source = sourceOf(`https://auth:${port}`);
  await until("resolved", () => source.current().length === 3);
  const pool = makePool({ service: "auth", source, log: silentLog });
  const client = makeJsonClient("auth", pool);
  for (let n = 0; n < (isTrusted ? 30 : 4); n += 1) {
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
  const source = sourceOf(`tls://logger:${one.port}`);
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
  for (let n = 0; n < 300; n += 1) expect((await rpc.call("Who", [], newContext(3_000))).ok).toBe(true);
  for (const host of ADDRESSES) expect(asked.get(host) ?? 0).toBeGreaterThan(50);
  const calls = Array.from({ length: 200 }, () => rpc.call("Who", [], newContext(3_000)));
  await Promise.all([one[Symbol.asyncDispose](), ...calls]);
  expect((await Promise.all(calls)).filter(({ ok }) => !ok)).toEqual([]);
  await until("avoided", () => isUp(2));
  for (let n = 0; n < 50; n += 1) expect((await rpc.call("Who", [], newContext(3_000))).ok).toBe(true);
  // As one it was connected all the time; before the addresses were known, it was not yet.
  expect(connected.at(-1)).toBe(true);
  serve(first, one.port);
  await until("back", () => isUp(3), 5_000);
});
