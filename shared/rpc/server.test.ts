/** The server as a foreign client sees it: bytes in, bytes out. */
import { expect, test } from "bun:test";
import { RPC_LIMITS } from "#contracts/limits";
import { FAILURES, fail, ok, type FailureCode } from "#shared/errors";
import type { CallContext } from "#shared/telemetry";
import { MAX_IN_FLIGHT } from "./connection.ts";
import { encodeFrame } from "./encode.ts";
import { connectPeer, makeGate, startServer, until } from "./testing.ts";

test("a call is answered with its result, or with its failure's code and message", async () => {
  await using at = startServer();
  using peer = await connectPeer(at.server.port);
  await peer.send(0, 1, "echo", [{ a: [1, "x", null] }]);
  expect(await peer.answer(1)).toMatchObject({ type: 1, error: null, result: { a: [1, "x", null] } });
  for (const [i, [code, row]] of Object.entries(FAILURES).entries()) {
    await peer.send(0, 100 + i, "refuse", [code]);
    expect((await peer.answer(100 + i)).error, code).toEqual({ code: row.rpc, message: "refused on purpose" });
  }
});

test("answers come as they are ready, not as they were asked for", async () => {
  const gate = makeGate();
  await using at = startServer({ methods: { slow: () => gate.waiting, quick: () => ok("quick") } });
  using peer = await connectPeer(at.server.port);
  await peer.send(0, 1, "slow", []);
  await peer.send(0, 2, "quick", []);
  await peer.answer(2);
  expect(peer.received.map(({ id }) => id)).toEqual([2]);
  gate.open(ok("slow"));
  expect((await peer.answer(1)).result).toBe("slow");
});

test("Ping, Hello and an unknown method", async () => {
  await using at = startServer();
  using peer = await connectPeer(at.server.port);
  await peer.send(0, 1, "RPCServer.Ping", []);
  expect((await peer.answer(1)).result).toBe("OK");
  await peer.send(0, 2, "RPCServer.Hello", [{ client: "somebody" }]);
  expect((await peer.answer(2)).result).toEqual({
    server: "test",
    version: "1.2.3",
    max_frame: RPC_LIMITS.bytes,
    max_in_flight: MAX_IN_FLIGHT,
  });
  for (const name of ["nope", "constructor", "__proto__", ""]) {
    await peer.send(0, 3, name, []);
    expect((await peer.answer(3)).error, name).toEqual({ code: "not_found", message: "no such method" });
    peer.received.length = 0;
  }
});

test.each(["throws", "rejects", "unencodable"])(
  "a method with a bug (%s): internal, the cause in the log alone",
  async (method) => {
    await using at = startServer();
    using peer = await connectPeer(at.server.port);
    await peer.send(0, 1, method, []);
    expect((await peer.answer(1)).error).toEqual({ code: "internal", message: "internal error" });
    expect(at.lines.some((line) => line.includes('"level":"error"'))).toBe(true);
    await peer.send(0, 2, "echo", [1]);
    expect((await peer.answer(2)).result).toBe(1);
  },
);

test("a notification runs its method and is not answered", async () => {
  const seen: unknown[] = [];
  await using at = startServer({ methods: { note: (params) => ok(seen.push(params[0])) } });
  using peer = await connectPeer(at.server.port);
  await peer.send(2, "note", ["a"]);
  await peer.send(2, "unknown", []);
  await peer.send(0, 9, "note", ["b"]);
  await peer.answer(9);
  expect(seen).toEqual(["a", "b"]);
  expect(peer.received).toHaveLength(1);
});

test("a method learns request id, trace and time left from meta, and sane ones where there are none", async () => {
  const contexts: CallContext[] = [];
  await using at = startServer({ methods: { look: (_params, context) => ok(contexts.push({ ...context })) } });
  using peer = await connectPeer(at.server.port);
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  await peer.send(0, 1, "look", [], {
    deadline_ms: 900,
    traceparent: `00-${traceId}-b7ad6b7169203331-01`,
    request_id: "r-1",
  });
  await peer.send(0, 2, "look", [], { deadline_ms: 3_600_000, traceparent: 7, request_id: "forged\nline" });
  await peer.send(0, 3, "look", []);
  await peer.answer(3);
  const [given, insane, none] = contexts;
  expect(given).toMatchObject({ requestId: "r-1", trace: { traceId } });
  expect(given?.deadline.remainingMs()).toBeWithin(1, 901);
  for (const context of [insane, none]) {
    expect(context?.requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(context?.trace.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(context?.deadline.remainingMs()).toBeWithin(1, 5_001);
  }
});

test.each<[string, unknown, string]>([
  ["no time left", 0, "deadline"],
  ["time that is text", "100", "invalid"],
])("meta.deadline_ms with %s: the method does not run", async (_what, deadline_ms, code) => {
  await using at = startServer({ methods: { never: () => fail("conflict") } });
  using peer = await connectPeer(at.server.port);
  await peer.send(0, 1, "never", [], { deadline_ms });
  expect((await peer.answer(1)).error).toMatchObject({ code });
});

test("a method that overruns its time is answered for, once", async () => {
  const gate = makeGate();
  await using at = startServer({ methods: { stuck: () => gate.waiting, quick: () => ok(1) } });
  using peer = await connectPeer(at.server.port);
  await peer.send(0, 1, "stuck", [], { deadline_ms: 20 });
  expect((await peer.answer(1)).error).toMatchObject({ code: "deadline" });
  gate.open();
  await peer.send(0, 2, "quick", []);
  await peer.answer(2);
  expect(peer.received.map(({ id }) => id)).toEqual([1, 2]);
});

test("Cancel aborts the call with that id, and a peer that goes away all of its calls", async () => {
  const signals = new Map<unknown, AbortSignal>();
  await using at = startServer({
    methods: {
      wait: async ([name], { deadline }) => {
        const { signal } = deadline;
        signals.set(name, signal);
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        return fail("deadline", "stopped");
      },
    },
  });
  const peer = await connectPeer(at.server.port);
  for (const id of [1, 2, 3]) await peer.send(0, id, "wait", [id]);
  await until(() => signals.size === 3, "three calls to run");
  await peer.send(2, "RPCServer.Cancel", [2]);
  expect((await peer.answer(2)).error).toEqual({ code: "deadline", message: "stopped" });
  expect([...signals.values()].map(({ aborted }) => aborted)).toEqual([false, true, false]);
  peer.socket.terminate();
  await until(() => [...signals.values()].every(({ aborted }) => aborted), "the others to be aborted");
});

test("an id that is in flight already is refused, and the first call keeps it", async () => {
  const gate = makeGate();
  await using at = startServer({ methods: { slow: () => gate.waiting } });
  using peer = await connectPeer(at.server.port);
  await peer.send(0, 1, "slow", []);
  await peer.send(0, 1, "slow", []);
  expect((await peer.answer(1)).error).toMatchObject({ code: "invalid" });
  gate.open();
  await until(() => peer.received.length === 2, "the first call's answer");
  expect(peer.received[1]).toMatchObject({ id: 1, error: null, result: "opened" });
});

const raw = (...bytes: number[]): Buffer => {
  const frame = Buffer.alloc(4 + bytes.length);
  frame.writeUInt32BE(bytes.length);
  frame.set(bytes, 4);
  return frame;
};
const prefix = (length: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
};
const head = [0x94, 0, 5, 0xa4, ...Buffer.from("echo")];

test.each<[string, Buffer, boolean]>([
  ["an empty frame", prefix(0), false],
  ["a frame above the limit", prefix(RPC_LIMITS.bytes + 1), false],
  ["a prefix of ones", prefix(0xffff_ffff), false],
  ["rubbish", raw(0xc1, 0xc1), false],
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), false],
  ["a response", encodeFrame([1, 5, null, 1]), false],
  ["no message", encodeFrame([7, 5, "echo", []]), false],
  ["params that are no array", raw(...head, 0x80), true],
  ["an extension in the params", raw(...head, 0x91, 0xd6, 0xff, 0, 0, 0, 0), true],
  ["the reserved byte in the params", raw(...head, 0x91, 0xc1), true],
  ["an id that is binary", raw(0x94, 0, 0xc4, 1, 0, 0xa1, 0x61, 0x90), false],
  ["an id beyond 2^53", raw(0x94, 0, 0xcf, 255, 255, 255, 255, 255, 255, 255, 255, 0xa1, 0x61, 0x90), false],
  ["an id that is a map with a key that is no text", raw(0x94, 0, 0x81, 1, 1, 0xa1, 0x61, 0x90), false],
  ["params that end beyond the frame", raw(...head, 0x91, 0xa5, 0x61), true],
  ["bytes after the message", raw(...head, 0x90, 0), true],
  ["nesting beyond the limit", raw(...head, ...Array.from({ length: 5_000 }, () => 0x91), 0x90), true],
  ["more values than allowed", raw(...head, 0xdd, 0, 3, 0, 0, ...Array.from({ length: 0x3_0000 }, () => 0)), true],
])(
  "%s: that connection is closed, with an answer where there was an id, and no other",
  async (_what, bytes, answered) => {
    await using at = startServer();
    using bystander = await connectPeer(at.server.port);
    using peer = await connectPeer(at.server.port);
    await peer.write(bytes);
    await peer.untilClosed();
    expect(peer.received.map(({ id, error }) => [id, (error as { code: string }).code])).toEqual(
      answered ? [[5, "invalid"]] : [],
    );
    await bystander.send(0, 1, "echo", ["well"]);
    expect((await bystander.answer(1)).result).toBe("well");
    expect(await at.metrics.text()).toContain('rpc_server_refused_total{reason="frame",service="test"} 1');
  },
);

test.each<[string, number[]]>([
  ["binary", [0xc4, 1, 0]],
  ["an integer beyond 2^53", [0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ["a key that is no text", [0x81, 1, 1]],
])("%s in the params: an error answer, and the connection stays", async (_what, bytes) => {
  await using at = startServer();
  using peer = await connectPeer(at.server.port);
  await peer.write(raw(...head, 0x91, ...bytes));
  expect((await peer.answer(5)).error).toMatchObject({ code: "invalid" });
  await peer.send(0, 6, "echo", [1]);
  expect((await peer.answer(6)).result).toBe(1);
});

test("half a frame and gone: nothing happens, and nothing is left", async () => {
  const seen: unknown[] = [];
  await using at = startServer({ methods: { note: (params) => ok(seen.push(params)) } });
  const peer = await connectPeer(at.server.port);
  const frame = encodeFrame([0, 1, "note", ["x".repeat(100)]]);
  await peer.write(frame.subarray(0, frame.length - 1));
  await until(() => at.server.connections === 1, "the connection");
  peer.socket.end();
  await until(() => at.server.connections === 0, "the connection to go");
  expect(seen).toEqual([]);
});

test("a frame that stays incomplete for 10 s closes its connection", async () => {
  await using at = startServer();
  using peer = await connectPeer(at.server.port);
  const startedAt = performance.now();
  await peer.write(prefix(10));
  await until(() => peer.closed, "the connection to be closed", 12_000);
  expect(performance.now() - startedAt).toBeWithin(9_900, 11_500);
}, 15_000);

test("10,000 calls written at once are all answered", async () => {
  await using at = startServer();
  using peer = await connectPeer(at.server.port);
  const calls = 10_000;
  await peer.write(Buffer.concat(Array.from({ length: calls }, (_, i) => encodeFrame([0, i, "slow.echo", [i]]))));
  await until(() => peer.received.length === calls, "all answers", 10_000);
  expect(peer.received.every(({ id, error, result }) => error === null && id === result)).toBe(true);
  expect(new Set(peer.received.map(({ id }) => id)).size).toBe(calls);
}, 15_000);

test("with the limit of calls in flight reached the server reads no more, until some are answered", async () => {
  const gates: ReturnType<typeof makeGate>[] = [];
  await using at = startServer({
    methods: {
      hold: () => {
        const gate = makeGate();
        gates.push(gate);
        return gate.waiting;
      },
    },
  });
  using peer = await connectPeer(at.server.port);
  const extra = 500;
  await peer.write(
    Buffer.concat(Array.from({ length: MAX_IN_FLIGHT + extra }, (_, i) => encodeFrame([0, i, "hold", []]))),
  );
  await until(() => gates.length === MAX_IN_FLIGHT, "the limit");
  // More than the kernel's buffers hold: it stays with the peer, not in the server's memory.
  const flood = Buffer.concat(Array.from({ length: 64 }, () => encodeFrame([2, "unknown", ["x".repeat(1_000_000)]])));
  const flooding = peer.write(flood);
  using other = await connectPeer(at.server.port);
  for (let i = 0; i < 50; i += 1) {
    await other.send(0, i, "RPCServer.Ping", []);
    await other.answer(i);
  }
  expect(gates).toHaveLength(MAX_IN_FLIGHT);
  expect(peer.written).toBeLessThan(flood.length / 2);
  for (const gate of gates.slice(0, MAX_IN_FLIGHT)) gate.open();
  await until(() => gates.length === MAX_IN_FLIGHT + extra, "the calls that waited");
  await flooding;
  for (const gate of gates.slice(MAX_IN_FLIGHT)) gate.open();
  await until(() => peer.received.length === MAX_IN_FLIGHT + extra, "all answers");
});

test("a peer that does not read is not read either: its answers stay within a limit", async () => {
  let ran = 0;
  const big = "x".repeat(1_000_000);
  await using at = startServer({
    methods: {
      big: () => {
        ran += 1;
        return ok(big);
      },
    },
  });
  using peer = await connectPeer(at.server.port);
  peer.socket.pause();
  const calls = 200;
  await peer.write(Buffer.concat(Array.from({ length: calls }, (_, i) => encodeFrame([0, i, "big", []]))));
  await until(() => ran > 4, "some calls to run");
  using other = await connectPeer(at.server.port);
  for (let i = 0; i < 20; i += 1) {
    await other.send(0, i, "RPCServer.Ping", []);
    await other.answer(i);
  }
  // 4 MB waiting in the server, and what the kernel's buffers of two sockets take.
  expect(ran).toBeLessThan(50);
  peer.socket.resume();
  await until(() => peer.received.length === calls, "all answers once the peer reads", 10_000);
}, 15_000);

test("a connection above the limit is closed and logged, and the others stay", async () => {
  await using at = startServer({ maxConnections: 2 });
  using first = await connectPeer(at.server.port);
  using second = await connectPeer(at.server.port);
  await until(() => at.server.connections === 2, "both connections");
  using third = await connectPeer(at.server.port);
  await third.untilClosed();
  for (const peer of [first, second]) {
    await peer.send(0, 1, "echo", [1]);
    await peer.answer(1);
  }
  expect(at.lines.filter((line) => line.includes("too many"))).toHaveLength(1);
});

test("with a token configured only who shows it is served, in Hello or in each call", async () => {
  await using at = startServer({ token: "s3cret" });
  using peer = await connectPeer(at.server.port);
  const codeOf = async (id: number): Promise<unknown> =>
    ((await peer.answer(id)).error as { code?: string } | null)?.code ?? "ok";
  await peer.send(0, 1, "echo", [1]);
  await peer.send(0, 2, "nope", [1]);
  await peer.send(0, 3, "RPCServer.Hello", [{ token: "s3cre" }]);
  await peer.send(0, 4, "echo", [1], { token: 7 });
  await peer.send(0, 5, "echo", [1], { token: "s3cret" });
  await peer.send(0, 6, "echo", [1]);
  await peer.send(0, 7, "RPCServer.Hello", [{ token: "s3cret" }]);
  await peer.send(0, 8, "echo", [1]);
  const codes = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(codeOf));
  const no = "unauthenticated";
  expect(codes).toEqual([no, no, no, no, "ok", no, "ok", "ok"]);
  expect(at.lines.join("")).not.toContain("s3cre");
});

test("a drain answers what is in hand, refuses what is new, then closes", async () => {
  const gate = makeGate();
  const at = startServer({ methods: { slow: () => gate.waiting } });
  using peer = await connectPeer(at.server.port);
  await peer.send(0, 1, "slow", []);
  await peer.send(0, 2, "RPCServer.Ping", []);
  await peer.answer(2);
  const drained = at[Symbol.asyncDispose]();
  await peer.send(0, 3, "slow", []);
  expect((await peer.answer(3)).error).toMatchObject({ code: "unavailable" });
  gate.open(ok("in time"));
  expect((await peer.answer(1)).result).toBe("in time");
  await drained;
  await peer.untilClosed();
  expect(at.server.connections).toBe(0);
  await at[Symbol.asyncDispose]();
});

test("a drain ends in bounded time, whatever hangs", async () => {
  const at = startServer({ methods: { hang: () => makeGate().waiting }, drainMs: 200 });
  using peer = await connectPeer(at.server.port);
  await peer.send(0, 1, "hang", []);
  await peer.send(0, 2, "RPCServer.Ping", []);
  await peer.answer(2);
  const startedAt = performance.now();
  await at[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeWithin(190, 1_500);
  expect(at.lines.some((line) => line.includes("cut off"))).toBe(true);
});

test("calls are counted by method and code, unknown methods together", async () => {
  await using at = startServer();
  using peer = await connectPeer(at.server.port);
  const outcomes: [string, unknown, FailureCode | "ok"][] = [
    ["echo", 1, "ok"],
    ["refuse", "conflict", "conflict"],
    ["x1", 1, "not_found"],
    ["x2", 1, "not_found"],
  ];
  for (const [i, [method, param]] of outcomes.entries()) {
    await peer.send(0, i, method, [param]);
    await peer.answer(i);
  }
  const text = await at.metrics.text();
  expect(text).toContain('rpc_server_calls_total{method="echo",code="ok",service="test"} 1');
  expect(text).toContain('rpc_server_calls_total{method="refuse",code="conflict",service="test"} 1');
  expect(text).toContain('rpc_server_calls_total{method="unknown",code="not_found",service="test"} 2');
  expect(text).not.toContain("x1");
  expect(text).toContain('rpc_server_connections{service="test"} 1');
  expect(text).toContain('rpc_server_in_flight{service="test"} 0');
});
