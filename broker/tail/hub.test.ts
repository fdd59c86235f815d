/** Who follows, and what comes of him: over loggers that say what the test has them say. */
import { afterEach, expect, test } from "bun:test";
import { silentLog } from "#shared/log";
import { EVENT_STREAM_HEADERS, eventBytes, eventsOf } from "#shared/sse";
import { makeMetrics } from "#shared/telemetry";
import { makeBrokerTail } from "./hub.ts";

let ending: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ending.toReversed()) await end();
  ending = [];
});

/** A logger's tail. `begins`: it answers no sooner. */
function startLogger(begins: Promise<unknown> = Promise.resolve()) {
  const asked: Request[] = [];
  const open = new Set<ReadableStreamDefaultController<Uint8Array>>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      asked.push(request);
      await begins;
      let own: ReadableStreamDefaultController<Uint8Array> | undefined;
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          own = controller;
          open.add(controller);
          controller.enqueue(new TextEncoder().encode(":\n\n"));
        },
        cancel: () => void (own !== undefined && open.delete(own)),
      });
      return new Response(body, { headers: EVENT_STREAM_HEADERS });
    },
  });
  ending.push(() => server.stop(true));
  return {
    url: `http://127.0.0.1:${server.port}`,
    asked,
    open,
    tell(id: string): void {
      for (const controller of open) controller.enqueue(eventBytes({ id: `${id}~`, event: "entry", data: id }));
    },
  };
}

function startTail(urls: () => readonly string[]) {
  const metrics = makeMetrics("test", "0");
  const tail = makeBrokerTail({
    loggers: () => urls().map((url) => ({ url })),
    key: undefined,
    log: silentLog,
    metrics,
  });
  ending.push(async () => {
    tail[Symbol.dispose]();
    metrics[Symbol.dispose]();
  });
  return (signal: AbortSignal, may: () => Promise<boolean> = async () => true) =>
    tail.subscribe({ query: "name=x", caller: "one", may, signal, hurry: () => undefined });
}

/** What a follower is told, by names and data. */
function read(stream: ReadableStream<Uint8Array>) {
  const told: string[] = [];
  const reading = (async () => {
    for await (const { events } of eventsOf(stream, 30_000)) {
      for (const { event, data } of events) told.push(`${event} ${data}`);
    }
  })();
  return { told, reading };
}

async function until(done: () => boolean, what: string): Promise<void> {
  for (const end = performance.now() + 8_000; !done(); await Bun.sleep(5)) {
    if (performance.now() > end) throw new Error(`not within 8 s: ${what}`);
  }
}

test("that one goes away while the loggers are asked takes them from none who waits with him", async () => {
  const begins = Promise.withResolvers<void>();
  const logger = startLogger(begins.promise);
  const subscribe = startTail(() => [logger.url]);
  const leaving = new AbortController();
  const gone = subscribe(leaving.signal);
  const stays = subscribe(new AbortController().signal);
  leaving.abort();
  begins.resolve();
  expect((await gone).ok).toBe(false);
  const outlet = await stays;
  if (!outlet.ok) throw outlet.error;
  const { told } = read(outlet.value.stream);
  await until(() => logger.open.size === 1, "the logger is followed");
  logger.tell("a");
  await until(() => told.includes("entry a"), "the entry is told");
});

test("a look that takes long for one ends another's following no later", async () => {
  const logger = startLogger();
  const subscribe = startTail(() => [logger.url]);
  const { promise: slow, resolve } = Promise.withResolvers<boolean>();
  const [first, second] = [
    await subscribe(new AbortController().signal, () => slow),
    await subscribe(new AbortController().signal, async () => false),
  ];
  if (!first.ok || !second.ok) throw new Error("refused");
  const [waits, ends] = [read(first.value.stream), read(second.value.stream)];
  await until(() => ends.told.some((text) => text.startsWith("bye")), "the second is told good-bye");
  expect(waits.told).toEqual([]);
  resolve(true);
});

test("of a logger that is new it is told what it stored just before, once", async () => {
  const [known, fresh] = [startLogger(), startLogger()];
  let urls = [known.url];
  const subscribe = startTail(() => urls);
  const outlet = await subscribe(new AbortController().signal);
  if (!outlet.ok) throw outlet.error;
  const { told } = read(outlet.value.stream);
  await until(() => known.open.size === 1, "the first is followed");
  known.tell("a");
  urls = [known.url, fresh.url];
  await until(() => fresh.open.size === 1, "the second is followed");
  fresh.tell("a");
  fresh.tell("b");
  await until(() => told.includes("entry b"), "what is new is told");
  expect(told.filter((text) => text.startsWith("entry"))).toEqual(["entry a", "entry b"]);
  const query = new URL(fresh.asked[0]?.url ?? "").searchParams;
  expect([query.get("name"), query.get("own")]).toEqual(["x", "true"]);
  const since = Number.parseInt(query.get("after")?.replace("~@", "") ?? "", 36);
  expect(Date.now() - since).toBeWithin(9_000, 16_000);
  expect(new URL(known.asked[0]?.url ?? "").search).toBe("?name=x");
  // Nothing of a connection that stands for hours is recorded.
  expect(known.asked[0]?.headers.get("traceparent")).toEndWith("-00");
});
