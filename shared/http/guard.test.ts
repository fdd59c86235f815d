/** The guard before a door: what it lets through unchanged, what it bounds, and what it cuts. */
import { afterEach, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { httpApp, type Listening, listen, socketAddressOf } from "#shared/http";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { type GuardOptions, makeGuard } from "./guard.ts";

const HOST = "Host: localhost\r\n";
const PING = `GET /ping HTTP/1.1\r\n${HOST}\r\n`;
const LIMITS: GuardOptions = { connections: 50, connectionsPerAddress: 20, headMs: 400 };
const runtime = () => makeRuntime("test", silentLog, () => undefined);

const open: AsyncDisposable[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const door of open.splice(0)) await door[Symbol.asyncDispose]();
});

interface Client {
  readonly socket: Socket;
  text: string;
  ended: boolean;
}

/** @param from an address of this machine: all of 127.0.0.0/8 is. */
async function client(port: number, bytes = "", from = "127.0.0.1"): Promise<Client> {
  const made: Client = { socket: connect({ port, host: "127.0.0.1", localAddress: from }), text: "", ended: false };
  sockets.push(made.socket);
  made.socket.on("data", (chunk: Buffer) => {
    made.text += chunk.toString("latin1");
  });
  made.socket.on("error", () => undefined);
  made.socket.on("close", () => {
    made.ended = true;
  });
  await new Promise<void>((resolve) => {
    made.socket.once("connect", resolve);
    made.socket.once("close", () => resolve());
  });
  if (bytes !== "") made.socket.write(bytes);
  return made;
}

async function until(what: string, isSo: () => boolean, ms = 10_000): Promise<void> {
  const endsAt = performance.now() + ms;
  while (!isSo()) {
    if (performance.now() > endsAt) throw new Error(`${what}: not within ${ms} ms`);
    await Bun.sleep(5);
  }
}

interface Guarded {
  readonly door: Listening;
  readonly metrics: () => Promise<string>;
  /** Port of the loopback that the guard hands on to. */
  readonly behind: number;
  readonly go: () => void;
}

function guarded(options: Partial<GuardOptions> = {}): Guarded {
  const own = runtime();
  const go = Promise.withResolvers<string>();
  const app = httpApp(own, [])
    .get("/address", ({ request, server }) => socketAddressOf(request, server) ?? "none")
    .get("/wait", () => go.promise)
    .get("/big", () => "x".repeat(20_000_000))
    .post("/echo", ({ body }) => body)
    .get("/stream", async function* () {
      for (let beat = 0; beat < 12; beat += 1) {
        yield "beat ";
        await Bun.sleep(100);
      }
    });
  const door = listen(app, { HOST: "127.0.0.1", PORT: 0 }, { ...LIMITS, ...options, runtime: own });
  open.push(door);
  return {
    door,
    behind: app.server?.port ?? 0,
    go: () => go.resolve("gone"),
    metrics: () => own.metrics.text(),
  };
}

test("a request through the guard has the address of its client, and one past it is refused", async () => {
  const { door, behind } = guarded();
  const ask = `GET /address HTTP/1.1\r\n${HOST}\r\n`;
  const clients = await Promise.all(
    ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map((from) => client(door.port, ask, from)),
  );
  await until("answers", () => clients.every(({ text }) => text.includes("127.0.0.")));
  expect(clients.map(({ text }) => text.split("\r\n\r\n")[1])).toEqual(["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
  const past = await client(behind, ask);
  await until("refused", () => past.text.includes("403 Forbidden"));
});

test("bytes pass unread and in order, both ways at once, and the end of one way is not that of the other", async () => {
  // No HTTP at all, as TLS is none: answers each byte plus one, and a last word after the client's end.
  using echo = Bun.listen<Uint8Array[]>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    data: [],
    socket: {
      open: (socket) => void (socket.data = []),
      data(socket, bytes) {
        socket.data.push(bytes.map((byte) => (byte + 1) & 0xff));
        flush(socket);
      },
      drain: (socket) => flush(socket),
      end(socket) {
        socket.data.push(Buffer.from("last"));
        flush(socket);
        const closing = setInterval(() => {
          if (socket.data.length > 0) return;
          clearInterval(closing);
          socket.shutdown();
        }, 1);
      },
    },
  });
  function flush(socket: { data: Uint8Array[]; write(bytes: Uint8Array): number }): void {
    for (let bytes = socket.data[0]; bytes !== undefined; bytes = socket.data[0]) {
      const taken = socket.write(bytes);
      if (taken < bytes.length) {
        socket.data[0] = bytes.subarray(Math.max(0, taken));
        return;
      }
      socket.data.shift();
    }
  }
  const guard = makeGuard(
    { host: "127.0.0.1", port: 0, serverPort: echo.port },
    { ...LIMITS, headMs: 60_000 },
    runtime(),
  );
  const sent = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)));
  const rounds = 200;
  const received: Buffer[] = [];
  const socket = connect({ port: guard.port, host: "127.0.0.1", allowHalfOpen: true });
  sockets.push(socket);
  const ended = new Promise<void>((resolve) => socket.on("end", resolve));
  socket.on("data", (bytes: Buffer) => {
    received.push(bytes);
    // Slow now and then, so that everything between here and the server fills up.
    if (received.length % 50 !== 0) return;
    socket.pause();
    setTimeout(() => socket.resume(), 20);
  });
  for (let round = 0; round < rounds; round += 1) socket.write(sent);
  socket.end();
  await ended;
  const all = Buffer.concat(received);
  const expected = Buffer.from(sent.map((byte) => (byte + 1) & 0xff));
  expect(all.byteLength).toBe(rounds * sent.byteLength + 4);
  for (let round = 0; round < rounds; round += 1) {
    expect(all.subarray(round * sent.byteLength, (round + 1) * sent.byteLength).equals(expected)).toBe(true);
  }
  expect(all.subarray(-4).toString()).toBe("last");
  await guard.stop();
  await guard.close();
});

test("a server is read from no faster than the client reads", async () => {
  const chunk = Buffer.alloc(65_536, "x");
  const all = 200_000_000;
  const server = { taken: 0 };
  const fill = (socket: { write(bytes: Uint8Array): number }): void => {
    while (server.taken < all) {
      const now = socket.write(chunk);
      server.taken += Math.max(0, now);
      if (now < chunk.byteLength) return;
    }
  };
  using listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: fill, drain: fill },
  });
  const guard = makeGuard({ host: "127.0.0.1", port: 0, serverPort: listener.port }, LIMITS, runtime());
  const late = await client(guard.port);
  late.socket.pause();
  late.socket.write("go");
  let before = -1;
  // Full: nothing more was taken for a while.
  while (server.taken === 0 || server.taken !== before) {
    before = server.taken;
    await Bun.sleep(300);
  }
  expect(server.taken).toBeLessThan(all / 4);
  late.socket.resume();
  await until("more is taken", () => server.taken > before);
  await guard.stop();
  await guard.close();
  await until("closed", () => late.ended);
});

test.each([true, false])(
  "an answer is given whole to who reads it late, also while the door closes (closing: %p)",
  async (isClosing) => {
    const { door } = guarded();
    const late = await client(door.port);
    late.socket.pause();
    late.socket.write(`GET /big HTTP/1.1\r\n${HOST}\r\n`);
    await Bun.sleep(300);
    const closed = isClosing ? door[Symbol.asyncDispose]() : Promise.resolve();
    await Bun.sleep(500);
    late.socket.resume();
    await until("all of it", () => late.text.length > 20_000_000 || late.ended);
    expect(late.text.slice(late.text.indexOf("\r\n\r\n") + 4).length).toBe(20_000_000);
    await closed;
  },
);

test("an address has so many connections and no more; each that ends makes room; proxies have as many as they like", async () => {
  const { door, metrics } = guarded({ connectionsPerAddress: 3, isProxy: (address) => address === "127.0.0.9" });
  const first = await Promise.all([1, 2, 3].map(() => client(door.port, PING)));
  await until("answers", () => first.every(({ text }) => text.includes("200 OK")));
  const fourth = await client(door.port, PING);
  await until("the fourth is closed", () => fourth.ended);
  expect(fourth.text).toBe("");
  const other = await client(door.port, PING, "127.0.0.2");
  const proxies = await Promise.all(Array.from({ length: 8 }, () => client(door.port, PING, "127.0.0.9")));
  await until("others", () => [other, ...proxies].every(({ text }) => text.includes("200 OK")));
  first[0]?.socket.destroy();
  await until("it is gone", () => first[0]?.ended === true);
  let again = await client(door.port, PING);
  await until("room again", () => {
    if (again.ended) void client(door.port, PING).then((next) => (again = next));
    return again.text.includes("200 OK");
  });
  expect(await metrics()).toMatch(/http_connections_refused_total\{reason="address",service="test"\} [1-9]/);
});

test("at the bound of all, a new connection takes the place of the quietest, never that of a request in hand", async () => {
  const { door, metrics, go } = guarded({ connections: 4, connectionsPerAddress: 100, headMs: 60_000 });
  const busy = await Promise.all([1, 2].map(() => client(door.port, `GET /wait HTTP/1.1\r\n${HOST}\r\n`)));
  const quiet = await client(door.port, PING);
  await until("an answer", () => quiet.text.includes("200 OK"));
  const silent = await client(door.port);
  const tooSoon = await client(door.port, PING);
  await until("refused, since all are fresh", () => tooSoon.ended);
  await Bun.sleep(1_100);
  for (const gone of [1, 2]) {
    const next = await client(door.port, `GET /wait HTTP/1.1\r\n${HOST}\r\n`);
    await until("room", () => [quiet, silent].filter(({ ended }) => ended).length === gone);
    expect(next.ended).toBe(false);
    busy.push(next);
  }
  await Bun.sleep(1_100);
  const none = await client(door.port, PING);
  await until("refused, since all are busy", () => none.ended);
  go();
  await until("all answered", () => busy.every(({ text }) => text.endsWith("gone")));
  const text = await metrics();
  expect(text).toContain('http_connections_refused_total{reason="total",service="test"} 2');
  expect(text).toContain('http_connections_cut_total{reason="room",service="test"} 2');
});

test.each([
  ["nothing at all", "", undefined],
  ["half a head", "GET /ping HTTP/1.1\r\nHo", undefined],
  ["a head that drips", `GET /ping HTTP/1.1\r\n${HOST}X: `, "a"],
  ["a second head that drips", `${PING}GET /ping HTTP/1.1\r\n${HOST}X: `, "a"],
  [
    "a body that nobody reads, dripping after its answer",
    `DELETE /x HTTP/1.1\r\n${HOST}Content-Length: 9999\r\n\r\n`,
    "a",
  ],
  ["a preflight, then a drip", `OPTIONS /ping HTTP/1.1\r\n${HOST}Origin: http://a\r\n\r\n`, "G"],
])("cut by the deadline: %s", async (_what, bytes, drip) => {
  const { door, metrics } = guarded();
  const startedAt = performance.now();
  const slow = await client(door.port, bytes);
  const dripping = setInterval(() => drip !== undefined && !slow.ended && slow.socket.write(drip), 50);
  try {
    await until("cut", () => slow.ended, 5_000);
  } finally {
    clearInterval(dripping);
  }
  expect(performance.now() - startedAt).toBeGreaterThan(300);
  expect(await metrics()).toContain('http_connections_cut_total{reason="head",service="test"} 1');
});

test("not cut by it: an idle connection, a long answer, a stream, a request that drips within its time", async () => {
  const { door, metrics, go } = guarded();
  const idle = await client(door.port, PING);
  const preflight = await client(door.port, `OPTIONS /ping HTTP/1.1\r\n${HOST}Origin: http://a\r\n\r\n`);
  const long = await client(door.port, `GET /wait HTTP/1.1\r\n${HOST}\r\n`);
  const stream = await client(door.port, `GET /stream HTTP/1.1\r\n${HOST}\r\n`);
  const drips = await client(door.port);
  for (const character of PING) {
    drips.socket.write(character);
    await Bun.sleep(2);
  }
  await Bun.sleep(1_000);
  go();
  idle.text = "";
  preflight.text = "";
  for (const again of [idle, preflight]) again.socket.write(PING);
  await until("answers", () => [idle, preflight, drips].every(({ text }) => text.includes("200 OK")));
  await until("the long one", () => long.text.endsWith("gone"));
  await until("the stream", () => stream.text.split("beat ").length === 13 && stream.text.endsWith("\r\n0\r\n\r\n"));
  expect(await metrics()).not.toMatch(/cut_total\{/);
});

test("a door that closes under load cuts no request: each that was sent is answered whole", async () => {
  const { door, go } = guarded({ connections: 200, connectionsPerAddress: 200, headMs: 10_000 });
  const body = JSON.stringify({ text: "x".repeat(50_000) });
  const echo = `POST /echo HTTP/1.1\r\n${HOST}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const used = await Promise.all(Array.from({ length: 20 }, () => client(door.port, PING)));
  await until("answers", () => used.every(({ text }) => text.includes("200 OK")));
  const waiting = await Promise.all(
    Array.from({ length: 20 }, () => client(door.port, `GET /wait HTTP/1.1\r\n${HOST}\r\n`)),
  );
  const fresh = await Promise.all(Array.from({ length: 20 }, () => client(door.port)));
  const half = await client(door.port, "GET /pi");
  for (const { socket } of [...used, ...fresh]) socket.write(echo);
  const closed = door[Symbol.asyncDispose]();
  setTimeout(go, 200);
  await closed;
  await until("all closed", () => [...used, ...waiting, ...fresh, half].every(({ ended }) => ended));
  for (const { text } of [...used, ...fresh]) expect(text.endsWith(body)).toBe(true);
  for (const { text } of waiting) expect(text.endsWith("gone")).toBe(true);
  expect(half.text).toBe("");
  expect((await client(door.port)).ended).toBe(true);
});
