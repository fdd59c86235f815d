import { describe, expect, test } from "bun:test";
import type { LogItem } from "#contracts/log-queries";
import type { OutgoingMessage } from "#shared/amqp";
import { fail, ok, type Result } from "#shared/errors";
import { messageOf, replay } from "./publish.ts";
import { type Export, oldestFirst } from "./slices.ts";

const START = Date.parse("2026-01-01T00:00:00Z");
const never = new AbortController().signal;

const itemAt = (ms: number, more: Partial<LogItem> = {}): LogItem => ({
  event_id: `id-${ms}`,
  name: "n",
  severity: "INFO",
  data: ms,
  created_at: new Date(START + ms).toISOString(),
  ...more,
});

/** As the platform exports: newest first, and it counts what is asked. */
function exportOf(items: readonly LogItem[]): { read: Export; asked: number[]; given: () => number } {
  const asked: number[] = [];
  let given = 0;
  return {
    asked,
    given: () => given,
    async *read(from, to) {
      asked.push(to - from);
      const sorted = items.toSorted((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
      for (const item of sorted) {
        const at = Date.parse(item.created_at);
        if (at < from || at >= to) continue;
        given += 1;
        yield item;
      }
    },
  };
}

const collect = async <T>(from: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const one of from) all.push(one);
  return all;
};

describe("entries oldest first", () => {
  test("come in order, all of them once, however they lie in time", async () => {
    const times = [
      ...Array.from({ length: 300 }, (_, at) => at),
      ...Array.from({ length: 20 }, (_, at) => 86_400_000 + at * 3_600_000),
      ...Array.from({ length: 500 }, (_, at) => 9 * 86_400_000 + at * 7),
    ];
    const { read, asked, given } = exportOf(times.map((ms) => itemAt(ms)));
    const range = { from: START, to: START + 10 * 86_400_000, most: 50 };
    expect((await collect(oldestFirst(read, range, never))).map(({ data }) => data)).toEqual(times);
    // What is given up is read again: some of it, not all of it many times.
    expect(given()).toBeLessThan(times.length * 4);
    expect(asked.length).toBeLessThan(200);
  });

  test("of one moment are in the order of their producer's numbers", async () => {
    const items = [3, 1, 2].map((sequence) => itemAt(5, { event_id: `e${sequence}`, producer: { id: "p", sequence } }));
    const all = await collect(oldestFirst(exportOf(items).read, { from: START, to: START + 10 }, never));
    expect(all.map(({ producer }) => producer?.sequence)).toEqual([1, 2, 3]);
  });

  test("from is included, to is not", async () => {
    const { read } = exportOf([0, 1, 9, 10].map((ms) => itemAt(ms)));
    const all = await collect(oldestFirst(read, { from: START + 1, to: START + 10 }, never));
    expect(all.map(({ data }) => data)).toEqual([1, 9]);
  });

  test("too many in one millisecond end it with that moment's name", async () => {
    const items = Array.from({ length: 201 }, (_, at) => itemAt(3, { event_id: `e${at}` }));
    const read = collect(oldestFirst(exportOf(items).read, { from: START, to: START + 10, most: 10 }, never));
    const failure: unknown = await read.catch((error: unknown) => error);
    expect(String(failure)).toContain("2026-01-01T00:00:00.003Z");
  });
});

describe("publishing again", () => {
  const scene = (answer: (message: OutgoingMessage, count: number) => Result<void> = () => ok()) => {
    const messages: OutgoingMessage[] = [];
    const traces: string[] = [];
    const publisher = {
      publish: async (message: OutgoingMessage, context: { trace: { traceId: string } }) => {
        messages.push(message);
        traces.push(context.trace.traceId);
        return answer(message, messages.length);
      },
    };
    return { messages, traces, publisher };
  };
  async function* entries(count: number): AsyncGenerator<LogItem> {
    for (let at = 0; at < count; at += 1) yield itemAt(at);
  }
  const options = { id: "r1", exchange: "logs_replay", rate: 10_000, signal: never };

  test("a message is the event that it was, and says that it is of a replay", () => {
    const message = messageOf(
      itemAt(7, { severity: "ERROR", data: { a: [1] }, producer: { id: "p", sequence: 9 } }),
      options,
    );
    expect(message).toMatchObject({ exchange: "logs_replay", routingKey: "log.ERROR", messageId: "id-7" });
    expect(new TextDecoder().decode(message.body)).toBe(`{"name":"n","data":{"a":[1]}}`);
    expect(message.headers).toMatchObject({
      "x-replay": "r1",
      "x-replayed-at": expect.stringMatching(/Z$/),
      "x-created-at": "2026-01-01T00:00:00.007Z",
      "x-producer": "p",
      "x-sequence": 9,
    });
    const origin = { exchange: "logs_topic", routing_key: "log.SPECIAL" };
    expect(messageOf(itemAt(7, { origin }), options).routingKey).toBe("log.SPECIAL");
  });

  test("the trace of the entry goes on", async () => {
    const { traces, publisher } = scene();
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    async function* one(): AsyncGenerator<LogItem> {
      yield itemAt(1, { trace_id: traceId });
      yield itemAt(2, { trace_id: "no trace" });
    }
    expect(await replay({ ...options, entries: one(), publisher })).toEqual({ published: 2 });
    expect(traces[0]).toBe(traceId);
    expect(traces[1]).toMatch(/^[0-9a-f]{32}$/);
  });

  test("is no faster than asked for", async () => {
    const { messages, publisher } = scene();
    const startedAt = performance.now();
    await replay({ ...options, rate: 100, entries: entries(31), publisher });
    expect(messages).toHaveLength(31);
    expect(performance.now() - startedAt).toBeGreaterThan(280);
  });

  test("where RabbitMQ goes away what did not arrive is sent again, in order, when it is back", async () => {
    let away = 3;
    const { messages, publisher } = scene((message, count) =>
      count > 100 && message.messageId === "id-120" && (away -= 1) >= 0 ? fail("unavailable", "away") : ok(),
    );
    expect(await replay({ ...options, entries: entries(300), publisher })).toEqual({ published: 300 });
    // Each arrived, and the last time that each came is in order.
    const last = new Map(messages.map(({ messageId }, at) => [messageId, at]));
    const order = [...last].sort((a, b) => a[1] - b[1]).map(([id]) => id);
    expect(order).toEqual(Array.from({ length: 300 }, (_, at) => `id-${at}`));
  });

  test("what does not come back is told, with the entry to go on with", async () => {
    const { publisher } = scene((message) => (message.messageId === "id-50" ? fail("unavailable", "away") : ok()));
    const told = await replay({ ...options, entries: entries(60), publisher, patienceMs: 300 });
    expect(told).toMatchObject({ published: 50, next: { event_id: "id-50" }, failure: { code: "unavailable" } });
  });

  test("told to stop, it ends after what is on its way and names where to go on", async () => {
    const stopping = new AbortController();
    const { messages, publisher } = scene((_, count) => {
      if (count === 20) stopping.abort(new Error("SIGINT"));
      return ok();
    });
    const told = await replay({ ...options, rate: 50, signal: stopping.signal, entries: entries(100), publisher });
    expect(told.published).toBe(messages.length);
    expect(told.isCut).toBe(true);
    expect(told.next?.event_id).toBe(`id-${messages.length}`);
  });

  test("told to stop when nothing is on its way, it names the last one that has arrived", async () => {
    const stopping = new AbortController();
    const { publisher } = scene();
    async function* stopped(): AsyncGenerator<LogItem> {
      yield itemAt(1);
      stopping.abort(new Error("SIGINT"));
      throw new Error("the export was given up");
    }
    const told = await replay({ ...options, signal: stopping.signal, entries: stopped(), publisher });
    expect(told).toEqual({ published: 1, isCut: true, next: itemAt(1) });
  });
});
