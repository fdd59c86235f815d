/** RPC by TLS: who is let in, and that a new certificate is for new connections and disturbs no other. */
import { beforeAll, expect, test } from "bun:test";
import { type AddressInfo, connect } from "node:net";
import { createServer } from "node:tls";
import { ok } from "#shared/errors";
import { makeLog } from "#shared/log";
import { makeRpcClient, type RpcClient, serveRpc } from "#shared/rpc";
import { makeMetrics, newContext } from "#shared/telemetry";
import type { Authority, Pair } from "../../../dev/certificates/authority.ts";
import { until } from "../../kit.ts";
import { expectRefused, handshake, issue, makeFiles, newAuthority, use } from "./tls.test-kit.ts";

let authority: Authority;
let rogue: Authority;
let first: Pair;
beforeAll(async () => {
  [authority, rogue] = await Promise.all([newAuthority(), newAuthority()]);
  first = await issue(authority, "first");
});

const lines: string[] = [];
const log = makeLog({ service: "test", level: "debug", write: (line) => lines.push(line) });

function serve() {
  const metrics = makeMetrics("test", "1");
  const methods = { echo: ([value]: readonly unknown[]) => ok(value) };
  return serveRpc({ host: "127.0.0.1", port: 0, server: "test", version: "1", methods, log, metrics });
}

type Own = Parameters<typeof makeRpcClient>[0]["tls"];
function client(port: number, tls?: Own, url = `tls://localhost:${port}`, states: boolean[] = []): RpcClient {
  const metrics = makeMetrics("client", "1");
  const onState = (up: boolean): void => void states.push(up);
  return makeRpcClient({ url, client: "test", log, metrics, onState, ...(tls === undefined ? {} : { tls }) });
}
const echo = async (from: RpcClient, value: unknown): Promise<unknown> => {
  const result = await from.call("echo", [value], newContext(2_000));
  return result.ok ? result.value : result.error.code;
};

test("mutual: no certificate, a rogue one, one that has ended, TLS 1.2 and plain TCP are refused, and others do not notice", async () => {
  using files = makeFiles(authority, first, { mutual: true });
  using _tls = use(files);
  await using server = serve();
  await using known = client(server.port);
  expect(await echo(known, "hello")).toBe("hello");
  await using byAddress = client(server.port, undefined, `tls://127.0.0.1:${server.port}`);
  expect(await echo(byAddress, "x".repeat(3_000_000))).toHaveLength(3_000_000);

  const { cert: ca } = authority;
  const ended = await authority.issue("client", {
    hosts: [],
    notBefore: new Date(Date.now() - 86_400_000),
    notAfter: new Date(Date.now() - 60_000),
  });
  const good = await issue(authority, "client");
  for (const own of [
    { ca },
    { ca, ...(await issue(rogue, "client")) },
    { ca, ...ended },
    { ca: rogue.cert, ...good },
  ]) {
    await using stranger = client(server.port, own);
    expect(await echo(stranger, 1)).toBe("unavailable");
  }
  await using plain = client(server.port, undefined, `tcp://127.0.0.1:${server.port}`);
  expect(await echo(plain, 1)).toBe("unavailable");
  await expectRefused(handshake(server.port, { ca, ...good, maxVersion: "TLSv1.2" }), /PROTOCOL_VERSION/);

  expect(await echo(known, "still here")).toBe("still here");
  expect(lines.some((line) => line.includes("refused in its TLS handshake"))).toBe(true);
});

test("server only: its name is verified, and TLS 1.2 is refused on both sides", async () => {
  using files = makeFiles(authority, await issue(authority, "elsewhere", ["elsewhere.example"]));
  using _tls = use(files);
  await using server = serve();
  await using misled = client(server.port, { ca: authority.cert });
  expect(await echo(misled, 1)).toBe("unavailable");
  await expectRefused(handshake(server.port, { ca: authority.cert, maxVersion: "TLSv1.2" }), /PROTOCOL_VERSION/);
  const old = createServer({ ...first, maxVersion: "TLSv1.2" });
  old.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => old.listen(0, "127.0.0.1", resolve));
  await using modern = client((old.address() as AddressInfo).port, { ca: authority.cert });
  expect(await echo(modern, 1)).toBe("unavailable");
  expect(lines.some((line) => line.includes("PROTOCOL_VERSION"))).toBe(true);
  old.close();
});

test("who never finishes its handshake is let go, and holds up nobody", async () => {
  using files = makeFiles(authority, first);
  using _tls = use(files);
  await using server = serve();
  const silent = connect(server.port, "127.0.0.1");
  const closed = new Promise<void>((resolve) => silent.on("close", () => resolve()));
  silent.on("error", () => undefined);
  await using other = client(server.port);
  expect(await echo(other, 1)).toBe(1);
  await closed;
}, 15_000);

test("20 new certificates under load: connections stay as they are, new ones see the new one, no call is lost", async () => {
  using files = makeFiles(authority, first, { mutual: true });
  using _tls = use(files);
  await using server = serve();
  const states: boolean[] = [];
  await using kept = client(server.port, undefined, undefined, states);
  const stop = new AbortController();
  let calls = 0;
  const failures: unknown[] = [];
  const note = (answer: unknown): void => {
    calls += 1;
    if (answer !== 1) failures.push(answer);
  };
  const onKept = async (): Promise<void> => {
    while (!stop.signal.aborted) note(await echo(kept, 1));
  };
  const onNew = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await using fresh = client(server.port);
      note(await echo(fresh, 1));
    }
  };
  const load = Promise.all([onKept(), onKept(), onNew(), onNew()]);
  const names: (string | undefined)[] = [];
  for (let i = 1; i <= 20; i += 1) {
    files.replace(await issue(authority, `number ${i}`));
    const own = { ca: authority.cert, ...first };
    await until(`number ${i}`, async () => (await certificateAt(server.port, own)) === `number ${i}`);
    names.push(await certificateAt(server.port, own));
  }
  stop.abort();
  await load;
  expect(failures).toEqual([]);
  expect(names).toEqual(Array.from({ length: 20 }, (_, i) => `number ${i + 1}`));
  expect(states).toEqual([true]);
  console.info(`${calls} calls during 20 changes of the certificate`);
}, 60_000);

/** Whose certificate a new connection sees. */
function certificateAt(port: number, tls: object): Promise<string | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  Bun.connect({
    hostname: "127.0.0.1",
    port,
    tls: { ...tls, serverName: "localhost" },
    socket: {
      data: () => undefined,
      handshake(socket) {
        resolve([socket.getPeerCertificate().subject?.CN ?? []].flat()[0]);
        socket.end();
      },
      connectError: (_socket, error) => reject(error),
    },
  }).catch(reject);
  return promise;
}
