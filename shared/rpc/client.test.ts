/** The client against real servers, and against peers that misbehave. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { type Failure, ok, type Result } from "#shared/errors";
import { type CallContext, makeMetrics, newContext } from "#shared/telemetry";
import { makeRpcClient } from "./client.ts";
import { encodeFrame } from "./encode.ts";
import { makeGate, makeTestLog, oddJson, startProxy, startServer, until } from "./testing.ts";
import type { RpcClient, RpcClientOptions } from "./types.ts";

interface TestClient extends AsyncDisposable {
  readonly client: RpcClient;
  readonly states: boolean[];
  readonly lines: string[];
  readonly text: () => Promise<string>;
  readonly call: (method: string, params?: readonly unknown[], ms?: number) => Promise<Result<unknown>>;
}

function startClient(port: number, options: Partial<RpcClientOptions> = {}): TestClient {
  const metrics = makeMetrics("test", "1");
  const { log, lines } = makeTestLog();
  const states: boolean[] = [];
  const onState = (connected: boolean): void => void states.push(connected);
  const client = makeRpcClient({ url: `tcp://127.0.0.1:${port}`, client: "test", log, metrics, onState, ...options });
  return {
    client,
    states,
    lines,
    text: () => metrics.text(),
    call: (method, params = [], ms = 2_000) => client.call(method, params, newContext(ms)),
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      metrics[Symbol.dispose]();
    },
  };
}

function failed(result: Result<unknown>): Failure {
  if (result.ok) throw new Error("the call succeeded");
  return result.error;
}

/** A peer that accepts, answers the greeting, and then does with each chunk what `then` says. */
function startOddServer(then: (answer: (bytes: Uint8Array) => void, chunk: Buffer, greeted: boolean) => void) {
  const hello = encodeFrame([1, 0xffff_ffff, null, {}]);
  return Bun.listen<{ greeted: boolean }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void (socket.data = { greeted: false }),
      data(socket, chunk) {
        if (!socket.data.greeted) socket.write(hello);
        then((bytes) => void socket.write(bytes), chunk, socket.data.greeted);
        socket.data.greeted = true;
      },
    },
  });
}

test("calls that are made before the connection stands wait for it", async () => {
  await using at = startServer();
  await using c = startClient(at.server.port);
  expect(c.client.connected).toBe(false);
  expect(await c.call("echo", [{ a: 1 }])).toEqual(ok({ a: 1 }));
  expect(c.client.connected).toBe(true);
  expect(c.client.inFlight).toBe(0);
});

test("any JSON value goes there and back unchanged", async () => {
  await using at = startServer();
  await using c = startClient(at.server.port);
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), async (json) => expect(await c.call("echo", [json])).toEqual(ok(json))),
    { numRuns: 100 },
  );
});

test("keys that mean something in JavaScript and byte order marks go there and back unchanged", async () => {
  await using at = startServer();
  await using c = startClient(at.server.port);
  await fc.assert(
    fc.asyncProperty(oddJson, async (text) => {
      const back = await c.call("echo", [JSON.parse(text)]);
      expect(JSON.stringify(back.ok && back.value)).toBe(text);
    }),
    { numRuns: 200 },
  );
});

test("two calls whose answers come in the other order get their own", async () => {
  const gate = makeGate();
  await using at = startServer({ methods: { slow: () => gate.waiting, quick: () => ok("quick") } });
  await using c = startClient(at.server.port);
  const slow = c.call("slow");
  expect(await c.call("quick")).toEqual(ok("quick"));
  gate.open(ok("slow"));
  expect(await slow).toEqual(ok("slow"));
});

test("3,000 calls at once each get their own answer", async () => {
  await using at = startServer();
  await using c = startClient(at.server.port);
  const results = await Promise.all(Array.from({ length: 3_000 }, (_, i) => c.call("slow.echo", [i], 5_000)));
  expect(results).toEqual(Array.from({ length: 3_000 }, (_, i) => ok(i)));
});

test("the context travels: time left, trace and request id", async () => {
  const contexts: CallContext[] = [];
  await using at = startServer({ methods: { look: (_params, context) => ok(contexts.push({ ...context })) } });
  await using c = startClient(at.server.port);
  const sent = newContext(700);
  await c.client.call("look", [], sent);
  expect(contexts[0]).toMatchObject({ requestId: sent.requestId, trace: { traceId: sent.trace.traceId } });
  expect(contexts[0]?.deadline.remainingMs()).toBeWithin(1, 701);
});

test("the server's failures arrive with their codes; what a bug there said does not", async () => {
  await using at = startServer();
  await using c = startClient(at.server.port);
  expect(failed(await c.call("refuse", ["forbidden"]))).toMatchObject({
    code: "forbidden",
    message: "refused on purpose",
  });
  expect(failed(await c.call("nope"))).toMatchObject({ code: "not_found" });
  expect(failed(await c.call("throws"))).toMatchObject({ code: "internal", message: "internal error" });
});

test("params that cannot be sent fail their own call alone", async () => {
  await using at = startServer();
  await using c = startClient(at.server.port);
  const [bad, big, good] = await Promise.all([
    c.call("echo", [new Set()]),
    c.call("echo", ["x".repeat(5_000_000)]),
    c.call("echo", [1]),
  ]);
  expect(failed(bad).code).toBe("invalid");
  expect(failed(big).code).toBe("too_large");
  expect(good).toEqual(ok(1));
});

test("a call whose time passes ends as deadline, is taken back at the server, and its late answer is nobody's", async () => {
  const gate = makeGate();
  const aborted: boolean[] = [];
  await using at = startServer({
    methods: {
      slow: async (_params, { deadline }) => {
        deadline.signal.addEventListener("abort", () => aborted.push(true), { once: true });
        return await gate.waiting;
      },
      quick: () => ok("quick"),
    },
  });
  await using c = startClient(at.server.port);
  await c.call("quick");
  const startedAt = performance.now();
  expect(failed(await c.call("slow", [], 50)).code).toBe("deadline");
  expect(performance.now() - startedAt).toBeWithin(45, 500);
  expect(c.client.inFlight).toBe(0);
  await until(() => aborted.length > 0, "the server's call to be aborted");
  const next = c.call("quick");
  gate.open(ok("late"));
  expect(await next).toEqual(ok("quick"));
});

test("a caller that goes away ends its call, and the server hears of it", async () => {
  const aborted: boolean[] = [];
  await using at = startServer({
    methods: {
      slow: async (_params, { deadline }) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        deadline.signal.addEventListener("abort", () => resolve(), { once: true });
        await promise;
        return ok(aborted.push(deadline.remainingMs() === 0));
      },
    },
  });
  await using c = startClient(at.server.port);
  const asker = new AbortController();
  const call = c.client.call("slow", [], newContext(4_000, asker.signal));
  await until(() => c.client.connected, "the connection");
  await Bun.sleep(20);
  asker.abort();
  expect(failed(await call).code).toBe("deadline");
  await until(() => aborted.length === 1, "the server's call to be aborted, long before its time is up", 1_000);
  expect(aborted).toEqual([true]);
});

test("a server that is not there: unavailable at once after the first try, and connected when it comes", async () => {
  const reserved = startServer();
  const { port } = reserved.server;
  await reserved[Symbol.asyncDispose]();
  await using c = startClient(port);
  expect(failed(await c.call("echo")).code).toBe("unavailable");
  const startedAt = performance.now();
  expect(failed(await c.call("echo")).code).toBe("unavailable");
  expect(performance.now() - startedAt).toBeLessThan(50);
  await using _at = startServer({ port });
  await until(() => c.client.connected, "the connection", 4_000);
  expect(await c.call("echo", [1])).toEqual(ok(1));
  expect(c.states.at(-1)).toBe(true);
});

test("a lost connection fails what was sent, and the next is made at once", async () => {
  const gate = makeGate();
  await using at = startServer({ methods: { slow: () => gate.waiting, quick: () => ok(1) } });
  using proxy = startProxy(at.server.port);
  await using c = startClient(proxy.port);
  await c.call("quick");
  // Only a connection that has lasted is opened again without a wait.
  await Bun.sleep(1_050);
  const slow = c.call("slow");
  await until(() => c.client.inFlight === 1, "the call");
  const cutAt = performance.now();
  proxy.cut();
  expect(failed(await slow).code).toBe("unavailable");
  expect(await c.call("quick")).toEqual(ok(1));
  expect(performance.now() - cutAt).toBeLessThan(500);
  expect(c.states).toEqual([true, false, true]);
});

test("a server that is started again is found within 5 s", async () => {
  const first = startServer();
  const { port } = first.server;
  await using c = startClient(port);
  await c.call("echo");
  await first[Symbol.asyncDispose]();
  await until(() => !c.client.connected, "the loss");
  await Bun.sleep(500);
  const backAt = performance.now();
  await using _second = startServer({ port });
  await until(() => c.client.connected, "the connection", 5_000);
  expect(performance.now() - backAt).toBeLessThan(5_000);
}, 10_000);

test("a half-open peer is noticed within 5 s, idle or not", async () => {
  await using at = startServer();
  using proxy = startProxy(at.server.port);
  await using idle = startClient(proxy.port);
  await using busy = startClient(proxy.port);
  await idle.call("echo");
  await busy.call("echo");
  proxy.swallow();
  const goneAt = performance.now();
  const call = busy.client.call("echo", [1], newContext(30_000));
  await until(() => !idle.client.connected && !busy.client.connected, "both to notice", 6_000);
  expect(performance.now() - goneAt).toBeLessThan(5_000);
  expect(["unavailable", "deadline"]).toContain(failed(await call).code);
}, 10_000);

test("a slow method is no dead peer: pings are answered while it runs", async () => {
  const gate = makeGate();
  await using at = startServer({ methods: { slow: () => gate.waiting } });
  await using c = startClient(at.server.port);
  const call = c.client.call("slow", [], newContext(30_000));
  expect(failed(await call).code).toBe("deadline");
  expect(c.states).toEqual([true]);
  gate.open();
}, 10_000);

test("the queue is bounded: beyond it calls are exhausted at once, and the others are answered", async () => {
  const gate = makeGate();
  await using at = startServer({ methods: { slow: async () => await gate.waiting, quick: () => ok(1) } });
  await using c = startClient(at.server.port);
  await c.call("quick");
  const calls = Array.from({ length: 4_100 }, () => c.call("slow", [], 5_000));
  expect(c.client.inFlight).toBe(4_000);
  gate.open(ok("done"));
  const results = await Promise.all(calls);
  expect(results.filter((result) => result.ok)).toHaveLength(4_000);
  expect(results.filter((result) => !result.ok && result.error.code === "exhausted")).toHaveLength(100);
});

test("bytes that the peer does not take are bounded too", async () => {
  using odd = startOddServer(() => undefined);
  await using c = startClient(odd.port);
  await until(() => c.client.connected, "the connection");
  using _server = { [Symbol.dispose]: () => odd.stop(true) };
  const big = "x".repeat(3_000_000);
  const calls = Array.from({ length: 60 }, () => c.call("echo", [big], 300));
  // The greeted peer reads at its own pace within one turn: nothing of this turn is written yet.
  const codes = (await Promise.all(calls)).map((result) => failed(result).code);
  expect(codes.filter((code) => code === "exhausted").length).toBeGreaterThan(40);
});

test("with a token the connection stands when the server has accepted it; a wrong one never does", async () => {
  await using at = startServer({ token: "s3cret" });
  await using right = startClient(at.server.port, { token: "s3cret" });
  await using wrong = startClient(at.server.port, { token: "guess" });
  expect(await right.call("echo", [1])).toEqual(ok(1));
  expect(failed(await wrong.call("echo", [1])).code).toBe("unavailable");
  expect(wrong.client.connected).toBe(false);
  expect(wrong.lines.join("")).toContain("wrong token");
  expect([...right.lines, ...wrong.lines].join("")).not.toContain("s3cret");
});

test.each<[string, Uint8Array]>([
  ["rubbish", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")],
  ["a request", encodeFrame([0, 1, "echo", []])],
])("a peer that answers with %s is left, and its calls fail", async (_what, bytes) => {
  const odd = startOddServer((answer, _chunk, greeted) => {
    if (greeted) answer(bytes);
  });
  using _odd = { [Symbol.dispose]: () => odd.stop(true) };
  await using c = startClient(odd.port);
  await until(() => c.client.connected, "the connection");
  expect(failed(await c.call("echo")).code).toBe("unavailable");
});

test("an answer that is MessagePack, but not by our contract, fails its own call as bad_gateway", async () => {
  // The first call's id is 0; its result is binary, the next one's error has a code that nobody knows.
  const answers = [
    Buffer.from([0, 0, 0, 7, 0x94, 1, 0, 0xc0, 0xc4, 1, 0]),
    encodeFrame([1, 4_096, { code: "whatever" }, null]),
  ];
  const odd = startOddServer((answer, _chunk, greeted) => {
    if (greeted) answer(answers.shift() ?? Buffer.alloc(0));
  });
  using _odd = { [Symbol.dispose]: () => odd.stop(true) };
  await using c = startClient(odd.port);
  await until(() => c.client.connected, "the connection");
  expect(failed(await c.call("echo")).code).toBe("bad_gateway");
  expect(failed(await c.call("echo")).code).toBe("bad_gateway");
  expect(c.client.connected).toBe(true);
});

test("a client that is closed ends its calls and opens nothing any more", async () => {
  await using at = startServer({ methods: { slow: () => makeGate().waiting }, drainMs: 100 });
  const c = startClient(at.server.port);
  const call = c.call("slow");
  await until(() => c.client.connected, "the connection");
  await c[Symbol.asyncDispose]();
  expect(failed(await call).code).toBe("unavailable");
  expect(failed(await c.call("slow")).code).toBe("unavailable");
  await until(() => at.server.connections === 0, "the server to see it go");
  await c.client[Symbol.asyncDispose]();
});

test("calls are counted by method and code, and the connection is a gauge", async () => {
  await using at = startServer();
  await using c = startClient(at.server.port);
  await c.call("echo");
  await c.call("refuse", ["conflict"]);
  const text = await c.text();
  expect(text).toContain('rpc_client_calls_total{method="echo",code="ok",service="test"} 1');
  expect(text).toContain('rpc_client_calls_total{method="refuse",code="invalid",service="test"} 1');
  expect(text).toContain('rpc_client_connected{service="test"} 1');
  expect(text).toContain('rpc_client_in_flight{service="test"} 0');
  expect(text).toContain('rpc_client_call_seconds_count{service="test",method="echo"} 1');
});

test.each(["http://a:1", "tcp://a", "tcp://:5001", "nonsense"])("%s is no address", (url) => {
  expect(() => startClient(0, { url })).toThrow();
});

/** A certificate for 127.0.0.1 that has signed itself; `undefined` where there is no openssl to make it. */
function makeCertificate(): { cert: string; key: string } | undefined {
  if (Bun.which("openssl") === null) return undefined;
  const made = Bun.spawnSync(
    ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"].concat([
      "-subj",
      "/CN=localhost",
      "-addext",
      "subjectAltName=DNS:localhost",
      "-keyout",
      "-",
      "-out",
      "-",
    ]),
    { stderr: "ignore" },
  );
  const text = made.stdout.toString();
  const part = (name: string): string =>
    new RegExp(`-----BEGIN ${name}-----[^]*?-----END ${name}-----\n`).exec(text)?.[0] ?? "";
  return made.success ? { cert: part("CERTIFICATE"), key: part("PRIVATE KEY") } : undefined;
}

const certificate = makeCertificate();
test.skipIf(certificate === undefined)(
  "tls:// (needs openssl): the right certificate is trusted, an unknown one is not",
  async () => {
    if (certificate === undefined) return;
    await using at = startServer({ tls: () => certificate });
    const url = `tls://localhost:${at.server.port}`;
    await using trusting = startClient(0, { url, tls: { ca: certificate.cert } });
    await using doubting = startClient(0, { url });
    const big = "x".repeat(3_000_000);
    expect(await trusting.call("echo", [big])).toEqual(ok(big));
    expect(failed(await doubting.call("echo")).code).toBe("unavailable");
    expect(doubting.states).not.toContain(true);
    await using plain = startClient(at.server.port);
    expect(failed(await plain.call("echo")).code).toBe("unavailable");

    await using mutual = startServer({ tls: () => ({ ...certificate, ca: certificate.cert }) });
    const mutualUrl = `tls://localhost:${mutual.server.port}`;
    await using known = startClient(0, { url: mutualUrl, tls: { ...certificate, ca: certificate.cert } });
    await using nameless = startClient(0, { url: mutualUrl, tls: { ca: certificate.cert } });
    expect(await known.call("echo", [1])).toEqual(ok(1));
    expect(failed(await nameless.call("echo", [1])).code).toBe("unavailable");
  },
);
