/** HTTPS as clients see it: who is let in, by which version, and that a new certificate costs nobody a request. */
import { readFileSync } from "node:fs";
import { afterEach, beforeAll, expect, test } from "bun:test";
import { httpApp, listen } from "#shared/http";
import { makeRuntime, StartError } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { currentTls } from "#shared/tls";
import { makeJsonClient } from "#shared/client";
import { newContext } from "#shared/telemetry";
import { listenSecurely, type Server } from "../../../shared/http/secure.ts";
import type { Authority, Pair } from "../../../dev/certificates/authority.ts";
import { until } from "../../kit.ts";
import { expectRefused, handshake, issue, makeFiles, newAuthority, use } from "./tls.test-kit.ts";

let authority: Authority;
let rogue: Authority;
let first: Pair;
let client: Pair;
beforeAll(async () => {
  [authority, rogue] = await Promise.all([newAuthority(), newAuthority()]);
  [first, client] = await Promise.all([issue(authority, "first"), issue(authority, "client")]);
});
afterEach(() => expect(currentTls().server).toBeUndefined());

let apps = 0;
const makeApp = () =>
  httpApp(
    makeRuntime(`tls${(apps += 1)}`, silentLog, () => undefined),
    [],
  )
    .get("/address", ({ server, request }) => server?.requestIP(request)?.address ?? "nobody")
    .post("/echo/:id", ({ params, body, set }) => {
      set.status = 202;
      set.headers["x-seen"] = "yes";
      return { error: false, message: params.id, data: body };
    });

const door = { HOST: "127.0.0.1", PORT: 0 };
const ping = (url: string, tls?: object): Promise<string> =>
  fetch(`${url}/ping`, { keepalive: false, ...(tls === undefined ? {} : { tls }) }).then((answer) => answer.text());

test("who has the authority is answered; another authority, another name and plain HTTP are refused, and nobody else notices", async () => {
  using files = makeFiles(authority, first);
  using _tls = use(files);
  await using listening = listen(makeApp(), door);
  expect(listening.url).toStartWith("https://127.0.0.1:");
  const ca = authority.cert;
  const kept = await fetch(`${listening.url}/ping`, { tls: { ca } });
  expect(await kept.text()).toBe("OK");
  await expectRefused(ping(listening.url));
  await expectRefused(ping(listening.url, { ca: rogue.cert }));
  await expectRefused(ping(listening.url.replace("https", "http")));
  await expectRefused(ping(listening.url.replace("127.0.0.1", "[::ffff:127.0.0.1]"), { ca }));
  expect(await ping(listening.url, { ca })).toBe("OK");
  expect(await (await fetch(`${listening.url}/ping`, { tls: { ca } })).text()).toBe("OK");
});

test("a certificate for another name, and one that has ended, are refused by who calls", async () => {
  const { cert: ca } = authority;
  const ended = await authority.issue("ended", {
    hosts: ["localhost", "127.0.0.1"],
    notBefore: new Date(Date.now() - 86_400_000),
    notAfter: new Date(Date.now() - 60_000),
  });
  for (const [pair, why] of [
    [await issue(authority, "elsewhere", ["elsewhere.example"]), /altnames|ALTNAME/i],
    [ended, /expired/i],
  ] as const) {
    using files = makeFiles(authority, pair);
    using _tls = use(files);
    await using listening = listen(makeApp(), door);
    await expectRefused(ping(listening.url, { ca }), why);
  }
});

test("outside: TLS 1.2 and 1.3, and nothing older", async () => {
  using files = makeFiles(authority, first);
  using _tls = use(files);
  await using listening = listen(makeApp(), door);
  const ca = authority.cert;
  expect(await handshake(listening.port, { ca, maxVersion: "TLSv1.2" })).toEqual({ name: "first", version: "TLSv1.2" });
  expect(await handshake(listening.port, { ca })).toEqual({ name: "first", version: "TLSv1.3" });
  await expectRefused(
    handshake(listening.port, { ca, minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" }),
  );
});

test("with a client CA: no certificate, a rogue one, one that has ended and TLS 1.2 are refused", async () => {
  using files = makeFiles(authority, first, { mutual: true });
  using _tls = use(files);
  await using listening = listen(makeApp(), door);
  const ca = authority.cert;
  const ended = await authority.issue("client", {
    hosts: [],
    notBefore: new Date(Date.now() - 86_400_000),
    notAfter: new Date(Date.now() - 60_000),
  });
  expect((await handshake(listening.port, { ca, ...client })).version).toBe("TLSv1.3");
  await expectRefused(handshake(listening.port, { ca }));
  await expectRefused(handshake(listening.port, { ca, ...(await issue(rogue, "client")) }));
  await expectRefused(handshake(listening.port, { ca, ...ended }));
  await expectRefused(handshake(listening.port, { ca, ...client, maxVersion: "TLSv1.2" }));
  // The platform's own client shows the certificate of its process.
  const answer = await makeJsonClient("test", listening.url).request("POST", "/echo/1", { a: 1 }, newContext(2_000));
  expect(answer.ok && answer.value.envelope).toEqual({ error: false, message: "1", data: { a: 1 } });
});

test("a port that is taken is told of by HTTPS, too", async () => {
  using files = makeFiles(authority, first);
  using _tls = use(files);
  await using listening = listen(makeApp(), door);
  expect(() => listen(makeApp(), { ...door, PORT: listening.port })).toThrow(StartError);
});

test("20 new certificates under load: every request is answered, whether its connection is kept or new", async () => {
  using files = makeFiles(authority, first);
  using _tls = use(files);
  await using listening = listen(makeApp(), door);
  const load = new Worker(new URL("load.fixture.ts", import.meta.url).href);
  const told: { done: number; failures: string[] }[] = [];
  load.addEventListener("message", ({ data }) => told.push(data as (typeof told)[number]));
  load.postMessage({ url: listening.url, ca: authority.cert }, []);
  await until("the load to begin", () => (told.at(-1)?.done ?? 0) > 100);
  for (let i = 1; i <= 20; i += 1) {
    const name = `number ${i}`;
    files.replace(await issue(authority, name));
    await until(`new connections to see ${name}`, async () => {
      return (await handshake(listening.port, { ca: authority.cert })).name === name;
    });
    // From then on each of them.
    expect((await handshake(listening.port, { ca: authority.cert })).name).toBe(name);
    const before = told.at(-1)?.done ?? 0;
    await until("the load to go on", () => (told.at(-1)?.done ?? 0) > before + 50);
  }
  load.postMessage("stop", []);
  await until("the load to end", () => told.at(-1)?.failures !== undefined && told.at(-1));
  await Bun.sleep(100);
  load.terminate();
  expect(told.at(-1)?.failures).toEqual([]);
  console.info(`${told.at(-1)?.done} requests during 20 changes of the certificate`);
}, 60_000);

/** Sockets that listen on `port`; undefined where this system does not tell. */
function listeningOn(port: number): number | undefined {
  if (process.platform !== "linux") return undefined;
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = readFileSync("/proc/self/net/tcp", "latin1").split("\n");
  return lines.filter((line) => line.includes(`${local} 00000000:0000 0A`)).length;
}

test("servers that were replaced are closed after their time, in any order, and new connections never see them", async () => {
  using files = makeFiles(authority, first);
  using _tls = use(files);
  const app = makeApp();
  const closing: Server[] = [];
  const close = async (server: Server): Promise<void> => {
    closing.push(server);
    await server.stop();
  };
  const successors = listenSecurely(app, "127.0.0.1", 0, close, 150);
  const port = app.server?.port ?? 0;
  const ca = authority.cert;
  const failures: string[] = [];
  const stop = new AbortController();
  const load = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (!stop.signal.aborted) {
        await ping(`https://127.0.0.1:${port}`, { ca }).catch((error: unknown) => failures.push(String(error)));
      }
    }),
  );
  for (let i = 0; i < 15; i += 1) {
    const name = `short ${i}`;
    files.replace(await issue(authority, name));
    await until(name, async () => (await handshake(port, { ca })).name === name);
    // More than one replaced server at a time, now and then.
    await Bun.sleep(i % 3 === 0 ? 200 : 20);
    expect((await handshake(port, { ca })).name).toBe(name);
  }
  await until("all but the newest to be closed", () => closing.length === 15);
  stop.abort();
  await load;
  expect(failures).toEqual([]);
  await until("their sockets to be closed", () => (listeningOn(port) ?? 1) === 1);
  expect((await handshake(port, { ca })).name).toBe("short 14");
  await successors[Symbol.asyncDispose]();
  await app.stop();
}, 60_000);

test("a kept connection goes on through a change, is answered as before, and is then closed", async () => {
  using files = makeFiles(authority, first);
  using _tls = use(files);
  await using listening = listen(makeApp(), door);
  const tls = { ca: authority.cert };
  const ask = () =>
    fetch(`${listening.url}/echo/a%20b`, {
      method: "POST",
      body: '{"x":1}',
      headers: { "content-type": "application/json" },
      tls,
    });
  const before = await ask();
  const { headers } = before;
  expect(await before.json()).toEqual({ error: false, message: "a b", data: { x: 1 } });
  files.replace(await issue(authority, "second"));
  await until("the change", async () => (await handshake(listening.port, tls)).name === "second");
  const after = await ask();
  expect(after.headers.get("connection")).toBe("close");
  expect([...after.headers.keys()].filter((key) => key !== "connection")).toEqual(
    [...headers.keys()].filter((key) => key !== "connection"),
  );
  expect([after.status, await after.json()]).toEqual([202, { error: false, message: "a b", data: { x: 1 } }]);
  const address = await fetch(`${listening.url}/address`, { tls });
  expect(await address.text()).toBe("127.0.0.1");
  expect(address.headers.get("connection")).not.toBe("close");
});
