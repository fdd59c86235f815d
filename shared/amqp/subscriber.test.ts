/** What is told to everybody, on a real RabbitMQ: each subscriber hears it, and is told when it may have missed something. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Channel, type ChannelModel, connect } from "amqplib";
import { createServer, connect as dial, type Socket } from "node:net";
import { Secret } from "#shared/config";
import { silentLog } from "#shared/log";
import { makeSubscriber } from "./subscriber.ts";

setDefaultTimeout(30_000);
const RABBITMQ = process.env["TEST_RABBITMQ_URL"];
const exchange = `test.identity.${Bun.randomUUIDv7()}`;

async function until(what: string, look: () => boolean, ms = 10_000): Promise<void> {
  const endsAt = performance.now() + ms;
  while (!look()) {
    if (performance.now() > endsAt) throw new Error(`${what}: it did not come to pass`);
    await Bun.sleep(10);
  }
}

describe.skipIf(RABBITMQ === undefined)("subscriber (needs RabbitMQ)", () => {
  let model: ChannelModel;
  let channel: Channel;
  const closing: (() => unknown)[] = [];
  beforeAll(async () => {
    model = await connect(RABBITMQ ?? "");
    channel = await model.createChannel();
  });
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
  });
  afterAll(async () => {
    await channel.deleteExchange(exchange);
    await model.close();
  });
  const tell = (key: string, text: string): boolean => channel.publish(exchange, key, Buffer.from(text));

  /** A way to RabbitMQ that can be cut, or go silent without a word. */
  async function makeWay() {
    const target = new URL(RABBITMQ ?? "");
    const sockets = new Set<Socket>();
    const server = createServer((client) => {
      const behind = dial(Number(target.port || 5672), target.hostname);
      for (const [from, to] of [
        [client, behind],
        [behind, client],
      ] as const) {
        sockets.add(from);
        from.on("error", () => undefined);
        from.on("close", () => to.destroy());
        from.pipe(to);
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closing.push(() => server.close());
    const url = new URL(target);
    url.host = `127.0.0.1:${(server.address() as { port: number }).port}`;
    return {
      url: url.href,
      cut: () => sockets.forEach((socket) => socket.destroy()),
      silence: () => sockets.forEach((socket) => socket.unpipe()),
    };
  }

  function subscribe(url: string, keys = ["#"]) {
    const heard: string[] = [];
    const subscriber = makeSubscriber({
      url: new Secret(url),
      name: "test subscriber",
      log: silentLog,
      exchange,
      keys,
      watchMs: 200,
      onMessage: (key, body) => heard.push(`${key} ${new TextDecoder().decode(body)}`),
      onUp: () => heard.push("up"),
      onDown: () => heard.push("down"),
    });
    closing.push(() => subscriber[Symbol.asyncDispose]());
    return { heard, subscriber };
  }

  test("each subscriber hears all of its keys, and nothing once it is gone", async () => {
    const all = subscribe(RABBITMQ ?? "");
    const some = subscribe(RABBITMQ ?? "", ["user.*"]);
    await until("both", () => [all, some].every(({ heard }) => heard.includes("up")));
    tell("user.changed", "1");
    tell("session.revoked", "2");
    tell("user.changed", "3");
    await until("all", () => all.heard.length === 4 && some.heard.length === 3);
    expect(all.heard).toEqual(["up", "user.changed 1", "session.revoked 2", "user.changed 3"]);
    expect(some.heard).toEqual(["up", "user.changed 1", "user.changed 3"]);
    await all.subscriber[Symbol.asyncDispose]();
    tell("user.changed", "4");
    await until("the other one", () => some.heard.length === 4);
    expect(all.heard).toHaveLength(4);
  });

  test.each(["cut", "silence"] as const)("%s: it is told, and told again when all is heard", async (fault) => {
    const way = await makeWay();
    const { heard } = subscribe(way.url);
    await until("up", () => heard.length === 1);
    way[fault]();
    await until("down", () => heard[1] === "down");
    await until("up again", () => heard.at(-1) === "up");
    tell("user.changed", "after");
    await until("what comes after", () => heard.at(-1) === "user.changed after");
  });
});
