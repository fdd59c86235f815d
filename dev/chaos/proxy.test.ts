import { afterEach, beforeEach, expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { until } from "../until.ts";
import { type Proxy, startProxy } from "./proxy.ts";
import { seeded } from "./random.ts";

let server: Server;
let proxy: Proxy;
let heard: Buffer[];
let ended: number;
let port: number;

/** Echoes what it hears, and says `bye` when its client has ended. */
beforeEach(async () => {
  heard = [];
  ended = 0;
  server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("data", (bytes: Buffer) => {
      heard.push(bytes);
      socket.write(bytes);
    });
    socket.on("end", () => {
      ended += 1;
      socket.end("bye");
    });
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  ({ port } = server.address() as { port: number });
  proxy = await startProxy(seeded(7));
});
afterEach(async () => {
  await proxy[Symbol.asyncDispose]();
  server.close();
});

interface Client {
  readonly socket: Socket;
  readonly said: () => string;
  readonly error: () => string | undefined;
  readonly closed: () => boolean;
}

async function client(aim = true): Promise<Client> {
  if (aim) proxy.through(`tcp://127.0.0.1:${port}`);
  const socket = connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  let said = "";
  let error: string | undefined;
  let closed = false;
  socket.on("data", (bytes: Buffer) => (said += bytes.toString("latin1")));
  socket.on("error", (thrown: NodeJS.ErrnoException) => (error = thrown.code));
  socket.on("close", () => (closed = true));
  await new Promise<void>((resolve) => {
    socket.once("connect", () => resolve());
    socket.once("close", () => resolve());
  });
  return { socket, said: () => said, error: () => error, closed: () => closed };
}

test("hands on what it gets, both ways, and the end of one direction by itself", async () => {
  const one = await client();
  one.socket.write("hello");
  await until("the echo", () => one.said() === "hello");
  one.socket.end();
  await until("the server's last word", () => one.said() === "hellobye");
  expect(ended).toBe(1);
  expect(proxy.counts).toMatchObject({ connections: 1, bytesUp: 5, bytesDown: 8 });
});

test("its address takes the place of the target's in a URL, the rest stays", () => {
  const at = `127.0.0.1:${proxy.port}`;
  expect(proxy.through("amqp://guest:guest@localhost:5672")).toBe(`amqp://guest:guest@${at}`);
  expect(proxy.through("postgres://postgres@127.0.0.1:6000/users?x=1")).toBe(`postgres://postgres@${at}/users?x=1`);
});

test("a connection that comes before the target waits for it", async () => {
  const one = await client(false);
  one.socket.write("early");
  await Bun.sleep(30);
  expect(one.said()).toBe("");
  proxy.through(`tcp://127.0.0.1:${port}`);
  await until("the echo", () => one.said() === "early");
});

test("latency counts in each direction", async () => {
  const one = await client();
  await proxy.misbehave({ latencyMs: 60 });
  const began = performance.now();
  one.socket.write("x");
  await until("the echo", () => one.said() === "x");
  expect(performance.now() - began).toBeGreaterThanOrEqual(115);
});

test("a black hole takes and tells nothing; healed, what was connected is reset and the next one works", async () => {
  const one = await client();
  await proxy.misbehave({ blackhole: true });
  one.socket.write("lost");
  await until("it is swallowed", () => proxy.counts.bytesSwallowed === 4);
  const two = await client();
  two.socket.write("lost too");
  await Bun.sleep(30);
  expect([one.closed(), two.closed(), heard]).toEqual([false, false, []]);
  await proxy.heal();
  await until("both are told", () => one.closed() && two.closed());
  const three = await client();
  three.socket.write("well");
  await until("the echo", () => three.said() === "well");
});

test("a pause loses nothing", async () => {
  const one = await client();
  await proxy.misbehave({ pause: true });
  const bytes = "z".repeat(3_000_000);
  one.socket.write(bytes);
  await Bun.sleep(40);
  expect(Buffer.concat(heard).length).toBe(0);
  await proxy.heal();
  await until("all of it is back", () => one.said().length === bytes.length);
});

test("refuses, and takes again", async () => {
  await proxy.misbehave({ refuse: true });
  expect((await client()).error()).toBe("ECONNREFUSED");
  await proxy.heal();
  const one = await client();
  one.socket.write("again");
  await until("the echo", () => one.said() === "again");
});

test("slices of one byte arrive in order", async () => {
  const one = await client();
  await proxy.misbehave({ sliceBytes: 1 });
  one.socket.write("0123456789");
  await until("the echo", () => one.said() === "0123456789");
  expect(heard.length).toBeGreaterThan(3);
});

test("turns over about as many bits as asked for, one a byte, in one direction", async () => {
  const one = await client();
  await proxy.misbehave({ flips: { up: 0.01 } });
  const sent = Buffer.alloc(20_000, 0x55);
  one.socket.write(sent);
  await until("all of it arrived", () => Buffer.concat(heard).length === sent.length);
  const wrong = Array.from(Buffer.concat(heard)).filter((byte) => byte !== 0x55);
  expect(wrong.length).toBe(proxy.counts.bitsFlipped);
  expect(wrong.length).toBeWithin(120, 300);
  for (const byte of wrong) expect([1, 2, 4, 8, 16, 32, 64, 128]).toContain(byte ^ 0x55);
});

test("cuts by a reset, and ends one direction", async () => {
  const one = await client();
  one.socket.write("x");
  await until("the echo", () => one.said() === "x");
  proxy.cut();
  await until("told", () => one.closed());
  expect(one.error()).toBe("ECONNRESET");
  const two = await client();
  two.socket.write("y");
  await until("the echo", () => two.said() === "y");
  proxy.halfClose("up");
  await until("the server hears the end, the client its answer", () => ended === 1 && two.said() === "ybye");
});
