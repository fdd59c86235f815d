import { describe, expect, test } from "bun:test";
import type { DeadLetter, DeadLetterOutcome, DeadLetterPage, QueueList } from "#contracts/dead-letters";
import type { Envelope } from "#contracts/envelope";
import { MAIL_JOB } from "#contracts/events";
import { Secret } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { start } from "../app.ts";
import type { Whereabouts } from "./message-index.ts";
import { type Kit, LACKS, NEEDS, setUp, startLogger, until } from "./dead-letters.test-kit.ts";

/** The listener on the kit's queues. */
async function listening(kit: Kit, more: Partial<Kit["config"]> = {}) {
  const runtime = makeRuntime("listener", silentLog, () => undefined);
  const app = await start({ ...kit.config, ...more }, runtime, { prefix: kit.prefix });
  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${app.url}${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const { message, data } = (await answer.json()) as Envelope;
    return { status: answer.status, message, data };
  };
  return {
    get: (path: string) => call("GET", path),
    queues: async () => (await call("GET", "/events/queues")).data as QueueList,
    page: async (query = "") => (await call("GET", `/events/dead-letters${query}`)).data as DeadLetterPage,
    where: async (id: string) => (await call("GET", `/events/messages/${id}`)).data as Whereabouts,
    async post(what: "replay" | "drop", body: unknown, headers?: Record<string, string>) {
      const { data, ...answer } = await call("POST", `/events/dead-letters/${what}`, body, headers);
      return { ...answer, data: data as DeadLetterOutcome };
    },
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      runtime.metrics[Symbol.dispose]();
    },
  };
}

const event = (index: number) => ({ name: `n${index}`, data: { index } });

describe.skipIf(LACKS)(`dead letters ${NEEDS}`, () => {
  test("replayed, they are stored once, however often; who did it is in the log before and after", async () => {
    await using logger = await startLogger();
    await using kit = await setUp({ LOGGER_RPC_URL: logger.rpcUrl });
    await using listener = await listening(kit);
    const { deadLetters, deadLetterQueue } = kit.topology.logs;
    for (let round = 1; round <= 2; round += 1) {
      for (let index = 0; index < 30; index += 1) {
        await kit.bury(deadLetters, "log.ERROR", `m${index}`, event(index), { headers: { mine: index } });
      }
      const { status, data } = await listener.post("replay", { rate: 1_000 }, { "x-actor": "user:1" });
      expect(status).toBe(200);
      expect(data).toMatchObject({ matched: 30, done: 30, left: 0, complete: true });
      await until(async () => (await kit.count(kit.topology.logs.queue)) === 0);
      const begin = await logger.entries.findOne({ event_id: data.audit_id ?? "" });
      expect(begin).toMatchObject({
        name: "audit",
        data: { action: "dead-letters.replay", by: "user:1", matched: 30 },
      });
      await until(async () => (await logger.entries.countDocuments({ name: "audit" })) === 2 * round);
      const end = await logger.entries.findOne({ "data.begin": data.audit_id } as object);
      expect(end?.data).toMatchObject({ phase: "end", done: 30, left: 0 });
    }
    await until(async () => (await logger.entries.countDocuments({ severity: "ERROR" })) === 30);
    expect(await logger.entries.countDocuments({ name: { $ne: "audit" } })).toBe(30);
    expect(await kit.count(deadLetterQueue)).toBe(0);
  }, 60_000);

  test("a message that fails again is not replayed for ever, and keeps its identity", async () => {
    await using logger = await startLogger();
    await using kit = await setUp({ LOGGER_RPC_URL: logger.rpcUrl });
    await using listener = await listening(kit);
    const { deadLetters, deadLetterQueue } = kit.topology.logs;
    for (let index = 0; index < 5; index += 1) await kit.bury(deadLetters, "log.INFO", `bad${index}`, "rubbish");
    const { data } = await listener.post("replay", { rate: 2, limit: 100 });
    expect(data).toMatchObject({ matched: 5, done: 5, left: 0 });
    await until(async () => (await kit.count(deadLetterQueue)) === 5);
    const page = await listener.page();
    expect(page.items.map(({ id }) => id).toSorted()).toEqual(["bad0", "bad1", "bad2", "bad3", "bad4"]);
    expect(page.items[0]).toMatchObject({ routing_key: "log.INFO", attempts: 1, replayed_by: expect.any(String) });
    expect(page.items[0]?.error).not.toBe("the logger refused it");
  }, 60_000);

  test("without a place in the log for the audit nothing is replayed or dropped", async () => {
    await using kit = await setUp();
    await using listener = await listening(kit);
    const { deadLetters, deadLetterQueue } = kit.topology.logs;
    for (let index = 0; index < 3; index += 1) await kit.bury(deadLetters, "log.INFO", `m${index}`, event(index));
    for (const [what, body] of [
      ["replay", {}],
      ["drop", { all: true }],
    ] as const) {
      const { status, message } = await listener.post(what, body);
      expect(status).toBe(503);
      expect(message).toBe("nothing was done: the audit entry could not be stored");
    }
    expect(await kit.count(deadLetterQueue)).toBe(3);
    // Only told, nothing done: that needs no audit.
    expect(await listener.post("drop", { all: true, dry_run: true, limit: 2 })).toMatchObject({
      message: "2 would be dropped",
      data: { matched: 3, done: 0, left: 3 },
    });
  }, 60_000);

  test("are dropped by what they are, and never without a condition", async () => {
    await using logger = await startLogger();
    await using kit = await setUp({ LOGGER_RPC_URL: logger.rpcUrl });
    await using listener = await listening(kit);
    const { deadLetters, deadLetterQueue } = kit.topology.logs;
    const long = new Date(Date.now() - 3_600_000).toISOString();
    for (let index = 0; index < 10; index += 1) {
      const headers = index % 2 === 0 ? { "x-error": "Too Deep", "x-failed-at": long } : {};
      await kit.bury(deadLetters, index < 5 ? "log.INFO" : "log.ERROR", `m${index}`, event(index), { headers });
    }
    for (const body of [{}, { parked: "logs" }, { parked: "logs", limit: 5 }]) {
      const { status, message } = await listener.post("drop", body);
      expect([status, message]).toEqual([422, expect.stringContaining("drop needs a condition")]);
    }
    for (const body of [{ all: false }, { id: "" }, { unknown: 1 }, { older_than_s: -1 }, { id: "m1", parked: "x" }]) {
      expect((await listener.post("drop", body)).status).toBe(422);
    }
    expect((await listener.post("drop", { error: "too deep", routing_key: "*.INFO" })).data.done).toBe(3);
    expect((await listener.post("drop", { older_than_s: 1_800 })).data.done).toBe(2);
    expect((await listener.post("drop", { older_than_s: 1_800 })).data).toMatchObject({ matched: 0, done: 0 });
    expect((await listener.post("drop", { id: "m3" })).data).toMatchObject({ matched: 1, done: 1, scanned: 5 });
    const left = await listener.page();
    expect(left.items.map(({ id }) => id)).toEqual(["m1", "m5", "m7", "m9"]);
    expect((await listener.post("drop", { all: true, limit: 3 })).data).toMatchObject({ matched: 4, done: 3, left: 1 });
    expect(await kit.count(deadLetterQueue)).toBe(1);
    // Nothing matched, nothing was noted: four drops, two entries each.
    expect(await logger.entries.countDocuments({ name: "audit" })).toBe(8);
  }, 60_000);

  test("go to where they belong: jobs to their kind, what nobody wanted to the log, with an id from then on", async () => {
    await using logger = await startLogger();
    await using kit = await setUp({ LOGGER_RPC_URL: logger.rpcUrl });
    await using listener = await listening(kit);
    const { jobs, unrouted } = kit.topology;
    const mail = { from: "a@example.com", to: "b@example.com", subject: "s", message: "m" };
    await kit.bury(jobs.deadLetters, MAIL_JOB, "mail-1", mail);
    await kit.bury(jobs.deadLetters, "no-such-job", "lost-1", {});
    await kit.bury(unrouted.exchange, "audit.login", undefined, event(1));
    const { data } = await listener.post("replay", { parked: "jobs" });
    expect(data).toMatchObject({ matched: 2, done: 1, left: 1 });
    // The mail service is away: it waits in the queue of its kind, or in a worker's hand.
    await until(async () => {
      const { items } = await listener.queues();
      const queue = items.find(({ name }) => name === jobs.queues.get(MAIL_JOB));
      return queue !== undefined && queue.messages + queue.in_hand === 1;
    });
    const stays = await listener.page();
    expect(stays.items.map(({ id }) => id)).toEqual(["lost-1"]);
    expect((await listener.page("?parked=unrouted")).items).toMatchObject([
      { id: "", routing_key: "audit.login", error: "no queue wanted it", parked: "unrouted" },
    ]);
    expect((await listener.post("replay", { parked: "unrouted" })).data.done).toBe(1);
    await until(async () => (await logger.entries.countDocuments({ name: "n1", severity: "INFO" })) === 1);
    expect(await kit.count(unrouted.queue)).toBe(0);
  }, 60_000);

  test("come in pages, the oldest first, also while some of them go", async () => {
    await using logger = await startLogger();
    await using kit = await setUp({ LOGGER_RPC_URL: logger.rpcUrl });
    await using listener = await listening(kit);
    for (let index = 0; index < 12; index += 1) {
      await kit.bury(kit.topology.logs.deadLetters, "log.INFO", `m${String(index).padStart(2, "0")}`, event(index));
    }
    await kit.bury(kit.topology.jobs.deadLetters, MAIL_JOB, "job", { to: "x" });
    const page = (query: string) => listener.page(`?${query}`);
    const first = await page("limit=5");
    expect(first).toMatchObject({ scanned: 5, complete: false });
    const second = await page(`limit=5&cursor=${first.next_cursor}`);
    const third = await page(`limit=5&cursor=${second.next_cursor}`);
    expect(third).toMatchObject({ complete: true });
    expect(third.next_cursor).toBeUndefined();
    const ids = ({ items }: DeadLetterPage): string[] => items.map(({ id }: DeadLetter) => id);
    expect([...ids(first), ...ids(second), ...ids(third)]).toEqual([
      ...Array.from({ length: 12 }, (_, index) => `m${String(index).padStart(2, "0")}`),
      "job",
    ]);
    // What came before the cursor is gone in part, then as a whole.
    await listener.post("drop", { id: "m01" });
    expect(ids(await page(`limit=3&cursor=${first.next_cursor}`))).toEqual(["m05", "m06", "m07"]);
    for (const id of ["m02", "m03", "m04"]) await listener.post("drop", { id });
    expect(ids(await page(`limit=3&cursor=${first.next_cursor}`))).toEqual(["m00", "m05", "m06"]);
    expect(first.items[0]).toMatchObject({ bytes: 32, preview: '{"name":"n0","data":{"index":0}}', attempts: 1 });
    for (const query of ["limit=0", "limit=501", "limit=1e2", "cursor=x", "other=1", "parked=x", "older_than_s=-1"]) {
      expect((await listener.get(`/events/dead-letters?${query}`)).status).toBe(422);
    }
    expect((await listener.get("/events/queues?x=1")).status).toBe(422);
  }, 60_000);

  test("a replay that takes longer than the request stops in order, and says what is left", async () => {
    await using logger = await startLogger();
    await using kit = await setUp({ LOGGER_RPC_URL: logger.rpcUrl });
    await using listener = await listening(kit);
    for (let index = 0; index < 60; index += 1) {
      await kit.bury(kit.topology.logs.deadLetters, "log.INFO", `m${index}`, event(index));
    }
    const startedAt = performance.now();
    const slow = listener.post("replay", { rate: 10 }, { "x-request-timeout-ms": "6500" });
    // Others look meanwhile, and see what is there.
    expect((await listener.get("/events/dead-letters?limit=100")).status).toBe(200);
    const { data } = await slow;
    expect(performance.now() - startedAt).toBeLessThan(6_500);
    expect(data.done).toBeGreaterThan(10);
    // At the rate that was asked for, not as a flood.
    expect(data.done).toBeLessThan(35);
    expect(data.left).toBe(60 - data.done);
    expect(await kit.count(kit.topology.logs.deadLetterQueue)).toBe(60 - data.done);
    expect((await listener.post("replay", { rate: 1_000 })).data).toMatchObject({ done: 60 - data.done, left: 0 });
    await until(async () => (await logger.entries.countDocuments({ name: { $ne: "audit" } })) === 60);
  }, 60_000);

  test("a message is found by its id within a second of its coming, and of its going", async () => {
    await using logger = await startLogger();
    await using kit = await setUp({ LOGGER_RPC_URL: logger.rpcUrl });
    await using listener = await listening(kit);
    const { where } = listener;
    await until(async () => !(await where("m1")).queued);
    expect(await where("m1")).toEqual({ found: null, queued: false, complete: true });
    await kit.bury(kit.topology.logs.deadLetters, "log.INFO", "m1", event(1));
    await Bun.sleep(1_000);
    expect(await where("m1")).toMatchObject({
      found: { id: "m1", parked: "logs", error: "the logger refused it" },
      complete: true,
    });
    await listener.post("drop", { id: "m1" });
    await Bun.sleep(1_000);
    expect((await where("m1")).found).toBeNull();
    expect((await listener.get(`/events/messages/${"x".repeat(129)}`)).status).toBe(422);
  }, 60_000);

  test("RabbitMQ away is 503, and the queues are told with what our workers hold", async () => {
    await using logger = await startLogger();
    await using kit = await setUp({ LOGGER_RPC_URL: logger.rpcUrl });
    await using listener = await listening(kit);
    await until(async () => (await kit.channel.checkQueue(kit.topology.logs.queue)).consumerCount === 2);
    await logger.kill();
    kit.channel.publish(kit.topology.logs.exchange, "log.INFO", Buffer.from(JSON.stringify(event(1))));
    await until(async () => {
      const { items } = await listener.queues();
      const main = items.find(({ name }) => name === kit.topology.logs.queue);
      return main?.in_hand === 1 && main.held === 1 && main.messages === 0 && main.consumers === 2;
    });
    expect((await listener.where("m1")).queued).toBe(true);
    const config = { RABBITMQ_URL: new Secret("amqp://127.0.0.1:1") };
    await using away = await listening(kit, config);
    for (const path of ["/events/queues", "/events/dead-letters", "/events/messages/m1"]) {
      expect((await away.get(path)).status).toBe(503);
    }
    expect((await away.post("replay", {})).status).toBe(503);
  }, 60_000);
});
