/** The checker sees what it is there to see: each wrong outcome is made up, and named. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LOGS_DEAD_LETTER_EXCHANGE, LOGS_DEAD_LETTER_QUEUE } from "#contracts/events";
import { HAS_BACKING, type Platform, START_MS, startPlatform } from "../kit.ts";
import { makeHistory } from "../../dev/chaos/history.ts";
import { makeCalls, makeForeignPublisher, repeat } from "../../dev/chaos/load.ts";
import { namesInQueue } from "../../dev/chaos/places.ts";
import { cutOff, SPOOL_ONLY } from "../../dev/chaos/scene.ts";

describe.skipIf(!HAS_BACKING)("the history checker (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  beforeAll(async () => {
    platform = await startPlatform({ hops: true });
  }, START_MS);
  afterAll(() => platform?.[Symbol.asyncDispose](), 60_000);

  const store = (name: string, id = Bun.randomUUIDv7()) =>
    platform.post("logger", "/log", { name, data: name }).then(() => id);

  test("what is stored once is neither lost nor there twice, whichever way it came", async () => {
    const history = makeHistory(platform);
    const { log, mail, hit } = makeCalls(platform, history, Math.random);
    await using foreign = makeForeignPublisher(platform, history, Math.random);
    await repeat(log, 20, 4);
    await repeat(hit, 10, 2);
    await repeat(mail, 5, 2);
    await repeat(foreign.event, 20, 4);
    const verdict = await history.verdict();
    expect(verdict).toMatchObject({ lost: [], twice: [], altered: [], queued: [], spooled: [], ambiguous: [] });
    expect(verdict.wrongReceipts).toEqual([]);
    expect(verdict.accepted).toBeGreaterThanOrEqual(35);
    expect(verdict.drainMs).toBeDefined();
  });

  test("what is nowhere is lost, what is there twice is named, and what is stored otherwise too", async () => {
    const history = makeHistory(platform);
    const [gone, double, other] = [history.nextName("log"), history.nextName("log"), history.nextName("log")];
    history.accept("log", gone);
    await store(double);
    await store(double);
    history.accept("log", double);
    await platform.post("logger", "/log", { name: other, data: "something else" });
    history.accept("log", other);
    const mail = history.nextName("mail");
    history.accept("mail", mail, { id: Bun.randomUUIDv7() });
    const own = Bun.randomUUIDv7();
    history.acceptId(own);
    expect(await history.verdict()).toMatchObject({ lost: [gone, own, mail], twice: [double], altered: [other] });
  });

  test("an event without an id may be there twice", async () => {
    const history = makeHistory(platform);
    const name = history.nextName("event");
    await store(name);
    await store(name);
    history.accept("event", name, { repeatable: true });
    expect(await history.verdict()).toMatchObject({ lost: [], twice: [] });
  });

  test("a dead letter is found, and stays where it is", async () => {
    const history = makeHistory(platform);
    const name = history.nextName("event");
    const model = await platform.rabbit();
    const channel = await model.createConfirmChannel();
    channel.publish(LOGS_DEAD_LETTER_EXCHANGE, "log.INFO", Buffer.from(JSON.stringify({ name, data: name })));
    await channel.waitForConfirms();
    await model.close();
    history.accept("event", name);
    expect(await history.verdict()).toMatchObject({ lost: [], deadLettered: [name] });
    expect(await namesInQueue(platform, LOGS_DEAD_LETTER_QUEUE, (text) => text.match(name) ?? [])).toEqual([name]);
  });

  test("what waits in the spool is found there, and the verdict says that it was not drained", async () => {
    const history = makeHistory(platform);
    const { log } = makeCalls(platform, history, Math.random);
    await cutOff(platform, SPOOL_ONLY);
    try {
      await repeat(log, 3, 1);
      const verdict = await history.verdict({ withinMs: 500 });
      expect(verdict).toMatchObject({ accepted: 3, stored: 0, lost: [], drainMs: undefined });
      expect(verdict.spooled).toHaveLength(3);
    } finally {
      await platform.hops.heal();
    }
    expect(await history.verdict()).toMatchObject({ stored: 3, spooled: [], lost: [], twice: [] });
  });
});
