import { describe, expect, test } from "bun:test";
import { type ConfirmChannel, connect } from "amqplib";
import { Secret } from "#shared/config";
import { messageOf, type Result } from "#shared/errors";
import { Deadline } from "#shared/resilience";
import { newContext } from "#shared/telemetry";
import { type LookOptions, openParked, type ParkedMessage } from "./parked.ts";
import { openResender } from "./resend.ts";
import { topologyOf } from "./topology.ts";

const RABBITMQ = process.env["TEST_RABBITMQ_URL"];
const url = new Secret(RABBITMQ ?? "");

async function until(condition: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  const endsAt = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > endsAt) throw new Error("it did not come to pass");
    await Bun.sleep(10);
  }
}

function given<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(messageOf(result.error), { cause: result.error });
  return result.value;
}

/** A queue as dead letters have it, with messages whose id and body are their number. */
async function setUp(count: number) {
  const prefix = `t${Bun.randomUUIDv7()}.`;
  const queue = `${prefix}logs.dlq.v1`;
  const spec = topologyOf({ prefix }).queues.find(({ name }) => name === queue);
  const model = await connect(RABBITMQ ?? "");
  model.on("error", () => undefined);
  const channel: ConfirmChannel = await model.createConfirmChannel();
  await channel.assertQueue(queue, { durable: true, arguments: spec?.arguments });
  const put = async (from: number, to: number, options = {}, body?: Uint8Array): Promise<void> => {
    for (let index = from; index < to; index += 1) {
      const content = body === undefined ? Buffer.from(String(index)) : Buffer.from(body);
      channel.sendToQueue(queue, content, { persistent: true, messageId: String(index), ...options });
    }
    await channel.waitForConfirms();
  };
  await put(0, count);
  const look = async (options: Partial<LookOptions> = {}) => {
    await using parked = given(await openParked(url, "test"));
    return await parked.look({
      queue,
      deadline: Deadline.after(10_000),
      max: 1_000_000,
      choose: () => false,
      ...options,
    });
  };
  /** What is in the queue, from its head. */
  const ids = async (): Promise<string[]> => {
    const seen: string[] = [];
    const looked = given(await look({ choose: ({ messageId }) => seen.push(messageId ?? "") < 0 }));
    expect(looked).toMatchObject({ complete: true, looked: seen.length });
    return seen;
  };
  return {
    queue,
    channel,
    put,
    look,
    ids,
    ready: async () => (await channel.checkQueue(queue)).messageCount,
    async [Symbol.asyncDispose]() {
      const cleaning = await model.createChannel();
      await cleaning.deleteQueue(queue);
      await model.close();
    },
  };
}

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, at) => String(from + at));

describe.skipIf(RABBITMQ === undefined)("a look at a parked queue (needs TEST_RABBITMQ_URL)", () => {
  test("sees every message once, the oldest first, and leaves all as they were, however often", async () => {
    await using kit = await setUp(3_000);
    for (let round = 0; round < 3; round += 1) expect(await kit.ids()).toEqual(numbers(0, 3_000));
    expect(await kit.ready()).toBe(3_000);
  });

  test("stops at its bound and where it has enough, and says that there is more", async () => {
    await using kit = await setUp(500);
    expect(given(await kit.look({ max: 120 }))).toMatchObject({ total: 500, looked: 120, complete: false });
    let seen = 0;
    const enough = given(await kit.look({ choose: () => (seen += 1) < 0, enough: () => seen === 7 }));
    expect(enough).toMatchObject({ looked: 7, complete: false });
    expect(await kit.ids()).toEqual(numbers(0, 500));
  });

  test("takes out what is dealt with and nothing else, and keeps the order of the rest", async () => {
    await using kit = await setUp(2_000);
    const kept: string[] = [];
    const isOdd = ({ messageId }: ParkedMessage): boolean => Number(messageId) % 2 === 1;
    const looked = given(
      await kit.look({
        choose: isOdd,
        act: async (chosen) =>
          chosen.map(({ messageId }) => {
            const fails = Number(messageId) % 10 === 1;
            if (fails) kept.push(messageId ?? "");
            return !fails;
          }),
      }),
    );
    expect(looked).toEqual({ total: 2_000, looked: 2_000, complete: true, removed: 800 });
    const left = numbers(0, 2_000).filter((id) => Number(id) % 2 === 0 || kept.includes(id));
    expect(await kit.ready()).toBe(1_200);
    expect(await kit.ids()).toEqual(left);
  });

  test("keeps the order of many that lie between those that go", async () => {
    await using kit = await setUp(2_000);
    const act = async (chosen: readonly ParkedMessage[]) => chosen.map(() => true);
    const choose = ({ messageId }: ParkedMessage): boolean => Number(messageId) % 300 === 0;
    expect(given(await kit.look({ choose, act })).removed).toBe(7);
    expect(await kit.ids()).toEqual(numbers(0, 2_000).filter((id) => Number(id) % 300 !== 0));
  });

  test("takes out all, in one go", async () => {
    await using kit = await setUp(3_000);
    const act = async (chosen: readonly ParkedMessage[]) => chosen.map(() => true);
    expect(given(await kit.look({ choose: () => true, act })).removed).toBe(3_000);
    expect(await kit.ready()).toBe(0);
    expect(await kit.ids()).toEqual([]);
  });

  test("two looks at once come one after the other: each sees all, and nothing is dealt with twice", async () => {
    await using kit = await setUp(300);
    const dealtWith: string[] = [];
    const drop = (deadline: Deadline) =>
      kit.look({
        deadline,
        choose: () => true,
        act: async (chosen) => {
          await Bun.sleep(200);
          dealtWith.push(...chosen.slice(0, 200).map(({ messageId }) => messageId ?? ""));
          return chosen.map((_, index) => index < 200);
        },
      });
    const all = await Promise.all([
      drop(Deadline.after(5_000)),
      drop(Deadline.after(5_000)),
      drop(Deadline.after(100)),
    ]);
    const totals = all.map((result) => (result.ok ? result.value.total : result.error.code));
    // Whoever comes first finds all; who did not want to wait is told so.
    expect(totals).toContain(300);
    expect(totals.filter((total) => total === "conflict").length).toBeLessThanOrEqual(1);
    expect(dealtWith.toSorted()).toEqual(numbers(0, 300).toSorted());
    expect(await kit.ready()).toBe(0);
  });

  test("waits no longer for another look than its deadline", async () => {
    await using kit = await setUp(10);
    const holding = Promise.withResolvers<void>();
    const end = Promise.withResolvers<void>();
    const first = kit.look({
      choose: () => true,
      act: async (chosen) => {
        holding.resolve();
        await end.promise;
        return chosen.map(() => false);
      },
    });
    await holding.promise;
    const startedAt = performance.now();
    expect(await kit.look({ deadline: Deadline.after(200) })).toMatchObject({ ok: false, error: { code: "conflict" } });
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    end.resolve();
    expect((await first).ok).toBe(true);
    expect(await kit.ids()).toEqual(numbers(0, 10));
  });

  test("gives everything back where whoever looks is gone in the middle, and does not lock the others out", async () => {
    await using kit = await setUp(200);
    const holding = Promise.withResolvers<void>();
    const parked = given(await openParked(url, "test"));
    const lost = parked.look({
      queue: kit.queue,
      deadline: Deadline.after(10_000),
      max: 1_000,
      choose: () => true,
      act: async (chosen) => {
        holding.resolve();
        await Bun.sleep(200);
        return chosen.map(() => true);
      },
    });
    await holding.promise;
    await parked[Symbol.asyncDispose]();
    expect(await lost).toMatchObject({ ok: false, error: { code: "unavailable" } });
    await until(async () => (await kit.ready()) === 200);
    expect((await kit.ids()).toSorted()).toEqual(numbers(0, 200).toSorted());
  });

  test("what the caller throws is thrown, after everything is back", async () => {
    await using kit = await setUp(50);
    const bug = new Error("mine");
    const choose = (): boolean => {
      throw bug;
    };
    expect(await kit.look({ choose }).catch((error: unknown) => error)).toBe(bug);
    expect(await kit.ready()).toBe(50);
    const act = () => Promise.reject(bug);
    expect(await kit.look({ choose: () => true, act }).catch((error: unknown) => error)).toBe(bug);
    expect(await kit.ids()).toEqual(numbers(0, 50));
  });

  test("large messages come in helpings, and no more than 16 MiB of them are kept for one act", async () => {
    await using kit = await setUp(0);
    await kit.put(0, 24, {}, new Uint8Array(2 * 1_048_576));
    const act = async (chosen: readonly ParkedMessage[]) => chosen.map(() => true);
    const looked = given(await kit.look({ choose: () => true, act }));
    expect(looked).toMatchObject({ looked: 8, complete: false, removed: 8 });
    expect(await kit.ids()).toEqual(numbers(8, 24));
  });

  test("a queue that is not there, and a server that is not there, are failures", async () => {
    await using parked = given(await openParked(url, "test"));
    const options = { queue: "nobody", deadline: Deadline.after(1_000), max: 1, choose: () => false };
    expect(await parked.look(options)).toMatchObject({ ok: false, error: { code: "unavailable" } });
    expect(given(await parked.count(["nobody"])).size).toBe(0);
    expect(await openParked(new Secret("amqp://127.0.0.1:1"), "test")).toMatchObject({
      ok: false,
      error: { code: "unavailable" },
    });
  });
});

describe.skipIf(RABBITMQ === undefined)("sending again (needs TEST_RABBITMQ_URL)", () => {
  test("keeps body and properties, with the headers that it is given, and says where there is no queue", async () => {
    await using kit = await setUp(0);
    const properties = {
      messageId: "m",
      contentType: "text/plain",
      correlationId: "c",
      appId: "a",
      type: "t",
      priority: 3,
      timestamp: 1_700_000_000,
      expiration: "3600000",
      headers: { mine: 1 },
    };
    await kit.put(0, 1, properties, Uint8Array.from([0, 1, 255]));
    let message: ParkedMessage | undefined;
    given(await kit.look({ choose: (seen) => (message = seen) === undefined }));
    if (message === undefined) throw new Error("nothing was there");
    const before = message;
    await using resender = given(await openResender(url, "test"));
    const to = { exchange: "", routingKey: kit.queue, messageId: "m", headers: { ...before.headers, more: 2 } };
    expect((await resender.send(before, { ...to, fewHeaders: {} }, newContext())).ok).toBe(true);
    const unwritable = { ...to, headers: { bad: Symbol("no") }, fewHeaders: { few: 1 } };
    expect((await resender.send(before, unwritable, newContext())).ok).toBe(true);
    const lost = await resender.send(before, { ...to, routingKey: "nobody.at.home", fewHeaders: {} }, newContext());
    expect(lost).toMatchObject({
      ok: false,
      error: { code: "not_found" },
    });
    const seen: ParkedMessage[] = [];
    given(await kit.look({ choose: (one) => seen.push(one) < 0 }));
    const [, again, few] = seen;
    expect([...(again?.body ?? [])]).toEqual([0, 1, 255]);
    const { expiration: _, headers: __, ...kept } = properties;
    expect(again?.raw).toMatchObject({ ...kept, deliveryMode: 2, headers: { mine: 1, more: 2 } });
    expect(again?.raw.expiration).toBeUndefined();
    expect(few?.raw.headers).toEqual({ few: 1 });
  });
});
