import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import type { LogItem } from "#contracts/log-queries";
import type { TailItem } from "#contracts/log-tail";
import { RPC_LOG_BATCH } from "#contracts/logs";
import type { ReceivedEvent } from "#shared/sse";
import { followEvents } from "#shared/sse-testing";
import {
  connectRpc,
  type Database,
  type Logger,
  makeDatabase,
  mongoUrl,
  NEEDS_MONGODB,
  startLogger,
  TEST_MONGODB_URL,
  until,
} from "../testing.ts";

let database: Database;
let logger: Logger;
beforeAll(async () => {
  if (TEST_MONGODB_URL === undefined) return;
  database = await makeDatabase();
  logger = await startLogger(mongoUrl(database.name));
  await logger.ready();
});
afterAll(async () => {
  await logger?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

/** Follows; what is told is in `events`, entries in `entries`. */
async function follow(query: string, headers: Record<string, string> = {}, url = logger.app.url) {
  const events: ReceivedEvent[] = [];
  const entries: TailItem[] = [];
  const ask = (signal: AbortSignal) => fetch(`${url}/logs/tail?${query}`, { headers, signal });
  const following = await followEvents(ask, (event) => {
    events.push(event);
    if (event.event === "entry") entries.push(JSON.parse(event.data) as TailItem);
  });
  // Not spread: `lastId` goes on.
  return Object.assign(following, { events, entries });
}

const store = async (entries: readonly object[], of = logger): Promise<void> => {
  await using client = await connectRpc(of);
  for (let at = 0; at < entries.length; at += 200) {
    const stored = await client.call(RPC_LOG_BATCH, [entries.slice(at, at + 200)]);
    if (!stored.ok) throw stored.error;
  }
};

const dataOf = (items: readonly LogItem[]): unknown[] => items.map(({ data }) => data);

test.skipIf(TEST_MONGODB_URL === undefined)(
  `what is stored is told at once to those whose filter asks for it, and a repeated entry is not ${NEEDS_MONGODB}`,
  async () => {
    const all = await follow("");
    const some = await follow("severity=ERROR&data.user.id=7&q=DECLINED");
    expect(all.answer.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const entry = {
      name: "live",
      severity: "ERROR",
      event_id: Bun.randomUUIDv7(),
      data: { user: { id: 7 }, why: "declined" },
    };
    await store([entry, { name: "live", severity: "ERROR", data: { user: { id: 8 }, why: "declined" } }]);
    await store([entry, { name: "live", data: "last" }]);
    await until(() => dataOf(all.entries).includes("last"), "the last entry");
    expect(dataOf(all.entries)).toEqual([entry.data, { user: { id: 8 }, why: "declined" }, "last"]);
    expect(some.entries).toHaveLength(1);
    expect(some.entries[0]).toMatchObject({ ...entry, source: "rpc" });
    expect(some.events[0]?.id.startsWith(`${entry.event_id}~`)).toBe(true);
    await Promise.all([all.leave(), some.leave()]);
  },
);

test.skipIf(TEST_MONGODB_URL === undefined)(
  `what is not a filter or a place is refused, and a HEAD subscribes nobody ${NEEDS_MONGODB}`,
  async () => {
    for (const [query, message] of [
      ["nam=x", "nam is not a known field"],
      ["after=x", "after is the id of an event"],
      ["after=~zz-1-1", "after is the id of an event"],
      ["follow=no", "follow is true or false"],
      ["follow=false", "follow=false needs after"],
      ["from=never", "from"],
    ]) {
      const answer = await fetch(`${logger.app.url}/logs/tail?${query}`);
      const { message: told } = (await answer.json()) as { message: string };
      expect([query, answer.status, told]).toEqual([query ?? "", 422, expect.stringContaining(message ?? "")]);
    }
    const head = await fetch(`${logger.app.url}/logs/tail`, { method: "HEAD" });
    expect(head.status).toBe(200);
    await until(async () => (await logger.metric("logger_tail_subscribers")) === 0, "nobody left");
  },
);

test.skipIf(TEST_MONGODB_URL === undefined)(
  `data that is too large for a stream is cut, and says so ${NEEDS_MONGODB}`,
  async () => {
    const tail = await follow("name=large");
    await store([{ name: "large", data: { text: "x".repeat(100_000) } }]);
    await until(() => tail.entries.length === 1, "the entry");
    const [item] = tail.entries;
    expect(item?.data_cut).toBe(100_011);
    expect(item?.data).toBe(`{"text":"${"x".repeat(16_375)}`);
    await tail.leave();
  },
);

test.skipIf(TEST_MONGODB_URL === undefined)(
  `whoever comes back again and again while 600 entries are stored is given each once ${NEEDS_MONGODB}`,
  async () => {
    const wanted = Array.from({ length: 600 }, (_, index) => index);
    const given: unknown[] = [];
    let lastId = "";
    let isStored = false;
    const storing = (async () => {
      for (let at = 0; at < wanted.length; at += 30) {
        await store(wanted.slice(at, at + 30).map((data) => ({ name: "again", data })));
        await Bun.sleep(10);
      }
      isStored = true;
    })();
    let visits = 0;
    while (given.length < wanted.length && visits < 100) {
      const tail = await follow("name=again", lastId === "" ? {} : { "last-event-id": lastId });
      visits += 1;
      const enough = isStored ? wanted.length - given.length : 300;
      await until(
        () => tail.entries.length >= Math.min(enough, 1) && (isStored || tail.entries.length >= 60),
        "more",
        10_000,
      ).catch(() => undefined);
      await tail.leave();
      expect(tail.events.filter(({ event }) => event !== "entry")).toEqual([]);
      // As a browser does that was told nothing.
      lastId = tail.lastId || lastId;
      given.push(...dataOf(tail.entries));
    }
    await storing;
    expect(visits).toBeGreaterThan(3);
    const missing = wanted.filter((data) => !given.includes(data));
    expect({ missing, twice: given.length - new Set(given).size }).toEqual({ missing: [], twice: 0 });
  },
  60_000,
);

test.skipIf(TEST_MONGODB_URL === undefined)(
  `another logger of the same store gives what the first one had stored, and where it cannot be whole a gap ${NEEDS_MONGODB}`,
  async () => {
    const before = await follow("name=moved");
    await store([{ name: "moved", data: 1 }]);
    await until(() => before.entries.length === 1, "the first");
    await before.leave();
    await store([{ name: "moved", data: 2 }]);
    await using other = await startLogger(mongoUrl(database.name));
    await other.ready();
    await store([{ name: "moved", data: 3 }], other);
    const after = await follow("name=moved", { "last-event-id": before.lastId }, other.app.url);
    await until(() => after.entries.length === 2, "what was stored since");
    await store([{ name: "moved", data: 4 }], other);
    await until(() => after.entries.length === 3, "the next");
    expect(dataOf(after.entries)).toEqual([2, 3, 4]);
    await after.leave();

    const long = new Date(Date.now() - 3_600_000).toISOString();
    const gapped = await follow(`name=moved&follow=false&after=${long}`);
    await gapped.reading;
    expect(gapped.events[0]?.event).toBe("gap");
    expect(JSON.parse(gapped.events[0]?.data ?? "")).toMatchObject({
      from: long,
      reason: "no more than 10 minutes are looked back",
    });
    expect(dataOf(gapped.entries)).toEqual([1, 2, 3, 4]);
    expect(gapped.events.at(-1)?.event).toBe("end");
  },
  30_000,
);

/** A client that sends its request and reads nothing: what the kernel holds for it fills up. */
async function deaf(url: string, query: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.pause();
  socket.on("error", () => undefined);
  await new Promise<void>((resolve) => void socket.once("connect", resolve));
  socket.write(`GET /logs/tail?${query} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
  return socket;
}

test.skipIf(TEST_MONGODB_URL === undefined)(
  `who stops reading while 20,000 entries are stored loses some, is told how many, and slows down nobody ${NEEDS_MONGODB}`,
  async () => {
    const filler = "x".repeat(700);
    const timed = async (name: string, count: number): Promise<number> => {
      const startedAt = performance.now();
      await store(Array.from({ length: count }, (_, data) => ({ name, data: { data, filler } })));
      return (performance.now() - startedAt) / count;
    };
    const before = await timed("alone", 5_000);
    const sentBefore = await logger.metric("logger_tail_sent_total");
    const socket = await deaf(logger.app.url, "name=flood");
    await until(async () => (await logger.metric("logger_tail_subscribers")) === 1, "it follows");
    let text = "";
    let thirst = 0;
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      thirst -= bytes.byteLength;
      if (thirst <= 0) socket.pause();
    });
    const drink = (bytes: number): void => {
      thirst = bytes;
      socket.resume();
    };
    // Where the machine needs more than 30 s for this, it would be cut as one that takes nothing at all.
    const sipping = setInterval(() => drink(262_144), 10_000);
    const beside = await timed("flood", 20_000);
    clearInterval(sipping);

    // It reads again: all that was sent, then how many are missing, then what is new.
    drink(Number.POSITIVE_INFINITY);
    await until(
      async () => {
        const sent = (await logger.metric("logger_tail_sent_total")) - sentBefore;
        return sent + (await logger.metric("logger_tail_dropped_total")) === 20_000;
      },
      "all is sent or dropped",
      30_000,
    );
    await store([{ name: "flood", data: "after" }]);
    await until(() => text.includes('"data":"after"'), "the next entry");
    const dropped = await logger.metric("logger_tail_dropped_total");
    expect(dropped).toBeGreaterThan(1_000);
    const counts = [...text.matchAll(/event: dropped\ndata: {"count":(\d+)}/g)].map(([, count]) => Number(count));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(dropped);
    expect(text.match(/event: entry/g)?.length).toBe(20_001 - dropped);
    socket.destroy();
    await until(async () => (await logger.metric("logger_tail_subscribers")) === 0, "nobody left");

    const after = await timed("alone", 5_000);
    const [first, second, third] = [before, beside, after].map((ms) => Math.round(ms * 1_000));
    console.log(`an entry was stored in ${first} µs, in ${second} µs beside a deaf one, then in ${third} µs`);
    // Other things happen on this machine; whoever waited for the deaf one would wait for 30 s.
    expect(beside).toBeLessThan(Math.max(before, after) * 2);
  },
  240_000,
);

test.skipIf(TEST_MONGODB_URL === undefined)(
  `1,000 who come and go leave nothing behind, and the 101st at once is told to come later ${NEEDS_MONGODB}`,
  async () => {
    for (let round = 0; round < 20; round += 1) {
      const tails = await Promise.all(Array.from({ length: 50 }, () => follow("name=nothing")));
      await Promise.all(tails.map(async (tail) => tail.leave()));
    }
    await until(async () => (await logger.metric("logger_tail_subscribers")) === 0, "nobody left");
    const hundred = await Promise.all(Array.from({ length: 100 }, () => follow("name=nothing")));
    const refused = await fetch(`${logger.app.url}/logs/tail`);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "5"]);
    await Promise.all(hundred.map(async (tail) => tail.leave()));
    await until(async () => (await logger.metric("logger_tail_subscribers")) === 0, "nobody left");
  },
  60_000,
);

test.skipIf(TEST_MONGODB_URL === undefined)(
  `a logger that stops says good-bye to those who follow, and waits for none, also not for one that reads nothing ${NEEDS_MONGODB}`,
  async () => {
    const stopping = await startLogger(mongoUrl(database.name));
    await stopping.ready();
    const tail = await follow("", {}, stopping.app.url);
    const socket = await deaf(stopping.app.url, "name=full");
    await until(async () => (await stopping.metric("logger_tail_subscribers")) === 2, "both follow");
    await store(
      Array.from({ length: 10_000 }, () => ({ name: "full", data: "x".repeat(900) })),
      stopping,
    );
    await until(async () => (await stopping.metric("logger_tail_dropped_total")) > 0, "it is full");
    const startedAt = performance.now();
    await stopping[Symbol.asyncDispose]();
    const tookMs = performance.now() - startedAt;
    await tail.reading;
    expect(tail.events.at(-1)).toMatchObject({ event: "bye", data: '{"reason":"stopping"}' });
    expect(tookMs).toBeLessThan(7_000);
    socket.destroy();
  },
  60_000,
);
