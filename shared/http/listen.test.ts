/** How a door is opened and closed. */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { httpApp, listen } from "#shared/http";
import { makeRuntime, StartError } from "#shared/lifecycle";
import { silentLog } from "#shared/log";

const runtime = makeRuntime("test", silentLog, () => undefined);
let apps = 0;
const app = () =>
  httpApp({ ...runtime, metrics: makeRuntime(`test${(apps += 1)}`, silentLog, () => undefined).metrics }, []);

test("closing does not wait for a connection that has sent half a head, nor for one that is idle", async () => {
  const door = listen(app(), { HOST: "127.0.0.1", PORT: 0 });
  const half = connect(door.port, "127.0.0.1", () => half.write("POST / HTTP/1.1\r\nHost: a\r\n"));
  const idle = connect(door.port, "127.0.0.1", () => idle.write("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"));
  await new Promise((resolve) => idle.once("data", resolve));
  const gone = [half, idle].map((socket) => new Promise<void>((resolve) => socket.on("close", () => resolve())));
  const startedAt = performance.now();
  await Promise.all([door[Symbol.asyncDispose](), door[Symbol.asyncDispose]()]);
  expect(performance.now() - startedAt).toBeLessThan(2_000);
  await Promise.all(gone);
});

test("an answer in hand is given whole while the door closes", async () => {
  const answer = Promise.withResolvers<string>();
  const asked = Promise.withResolvers<void>();
  const door = listen(
    app().get("/slow", () => {
      asked.resolve();
      return answer.promise;
    }),
    { HOST: "127.0.0.1", PORT: 0 },
  );
  const reply = fetch(`${door.url}/slow`);
  await asked.promise;
  const closed = door[Symbol.asyncDispose]();
  await Bun.sleep(200);
  const text = "x".repeat(1_000_000);
  answer.resolve(text);
  expect(await (await reply).text()).toBe(text);
  await closed;
});

test("an IPv6 address is written so that it can be called", async () => {
  await using door = listen(app(), { HOST: "::1", PORT: 0 });
  expect(door.url).toBe(`http://[::1]:${door.port}`);
  expect(await (await fetch(`${door.url}/ping`)).text()).toBe("OK");
});

test("a port that is taken and an address of another machine are told apart, each with what to set", async () => {
  await using door = listen(app(), { HOST: "127.0.0.1", PORT: 0 });
  const again = () => listen(app(), { HOST: "127.0.0.1", PORT: door.port });
  expect(again).toThrow(StartError);
  expect(again).toThrow("is taken by another process: stop what holds it, or set PORT");
  expect(() => listen(app(), { HOST: "192.0.2.1", PORT: 0 })).toThrow("set HOST");
});
