import { expect, test } from "bun:test";
import { eventBytes, eventsOf, makeEventReader, makeOutlet, type ReceivedEvent } from "./index.ts";

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function readerOf() {
  const events: ReceivedEvent[] = [];
  return { events, reader: makeEventReader((event) => events.push(event)) };
}

test("what is written is read back, whatever lines the data has, and wherever it is cut", () => {
  const data = ["one", "two\nthree", "four\r\nfive", "", " six", ": no comment", "\u{1f600}"];
  const text = data.map((one, index) => textOf(eventBytes({ id: String(index), event: "entry", data: one }))).join("");
  for (const step of [1, 2, 3, 7, text.length]) {
    const { events, reader } = readerOf();
    for (let at = 0; at < text.length; at += step) reader.push(text.slice(at, at + step));
    expect(events.map((event) => event.data)).toEqual(data.map((one) => one.replaceAll("\r\n", "\n")));
    expect(events.map(({ id }) => id)).toEqual(data.map((_, index) => String(index)));
  }
});

test("line breaks and NUL in an id or a name begin no field of their own", () => {
  const { events, reader } = readerOf();
  reader.push(textOf(eventBytes({ id: "a\ndata: b\0", event: "x\r\nretry: 1", data: "d" })));
  expect(events).toEqual([{ id: "adata: b", event: "xretry: 1", data: "d" }]);
  expect(reader.retryMs).toBeUndefined();
});

test("a stream of another writer is read as the standard says", () => {
  const { events, reader } = readerOf();
  reader.push(
    "\uFEFF: hello\r\revent:add\ndata:1\r\ndata\n\nid: 7\n\nretry: 10\nretry: x\ndata: last\nid\n\ndata: cut",
  );
  expect(events).toEqual([
    { event: "add", data: "1\n", id: "" },
    { event: "message", data: "last", id: "" },
  ]);
  expect([reader.lastId, reader.retryMs]).toEqual(["", 10]);
  expect(() => makeEventReader(() => undefined, 10).push("data: 01234567890")).toThrow("more than 10");
});

/** An outlet whose other end reads when it is told to. */
function outletOf(limits: { maxEntries?: number; maxBytes?: number; stallMs?: number } = {}) {
  const told = { sent: 0, dropped: 0, ended: "", hurried: 0 };
  const outlet = makeOutlet({
    maxEntries: 3,
    maxBytes: 1_000,
    stallMs: 60_000,
    heartbeatMs: 60_000,
    ...limits,
    hurry: () => void (told.hurried += 1),
    onSent: (entries) => void (told.sent += entries),
    onDropped: (entries) => void (told.dropped += entries),
    onEnd: (reason) => void (told.ended = reason),
  });
  const reading = outlet.stream.getReader();
  const read = async (): Promise<string> => {
    const { value, done } = await reading.read();
    return done ? "done" : textOf(value).replaceAll("\n", "");
  };
  const offer = (...keys: string[]): void => {
    for (const key of keys) outlet.offer(key, eventBytes({ data: key }));
  };
  return { outlet, told, read, offer, cancel: () => reading.cancel() };
}

test("whoever is slow loses what there is no room for, and is told how much of it, where it is missing", async () => {
  const { told, read, offer, cancel } = outletOf();
  offer("1", "2", "3", "4", "5");
  expect(await read()).toBe("data: 1data: 2data: 3");
  expect(await read()).toBe('event: droppeddata: {"count":2}');
  offer("6");
  expect(await read()).toBe("data: 6");
  expect(told).toMatchObject({ sent: 4, dropped: 2 });
  await cancel();
  expect(told.ended).toBe("client");
  offer("7", "8", "9", "10");
  expect(told.dropped).toBe(2);
});

test("bytes count as entries do, and one entry has room however large it is", async () => {
  const { told, read, offer, cancel } = outletOf({ maxEntries: 100 });
  offer("x".repeat(2_000), "y");
  expect((await read()).length).toBe(2_006);
  expect(told).toMatchObject({ sent: 1, dropped: 1 });
  await cancel();
});

test("what was before comes first, as fast as it is taken, and what it had is not told again", async () => {
  const { outlet, told, read, offer, cancel } = outletOf();
  let made = 0;
  async function* before() {
    for (let key = 1; key <= 20; key += 1) {
      made = key;
      yield { key: String(key), bytes: eventBytes({ data: String(key) }) };
    }
  }
  const preceding = outlet.precede(before());
  offer("20", "21");
  await Bun.sleep(20);
  // No further ahead than there is room.
  expect(made).toBeLessThan(6);
  let text = "";
  while (!text.includes("21")) text += await read();
  await preceding;
  expect(text).toBe(Array.from({ length: 21 }, (_, index) => `data: ${index + 1}`).join(""));
  expect(told).toMatchObject({ sent: 21, dropped: 0 });
  await cancel();
});

test("too much meanwhile is told after what there was room for", async () => {
  const { outlet, told, read, offer, cancel } = outletOf();
  const gate = Promise.withResolvers<void>();
  async function* before() {
    await gate.promise;
    yield { key: "0", bytes: eventBytes({ data: "0" }) };
  }
  const preceding = outlet.precede(before());
  offer("1", "2", "3", "4", "5");
  gate.resolve();
  let text = "";
  while (!text.includes("dropped")) text += await read();
  await preceding;
  offer("6");
  text += await read();
  expect(text).toBe('data: 0data: 1data: 2data: 3event: droppeddata: {"count":2}data: 6');
  expect(told).toMatchObject({ sent: 5, dropped: 2 });
  await cancel();
});

test("whoever takes nothing is cut, and whoever waits is not", async () => {
  const stalled = outletOf({ stallMs: 500 });
  stalled.offer("1");
  const waiting = outletOf({ stallMs: 500 });
  const next = waiting.read();
  await Bun.sleep(2_300);
  expect(stalled.told).toMatchObject({ ended: "stalled", hurried: 1 });
  expect(waiting.told.ended).toBe("");
  waiting.offer("1");
  expect(await next).toBe("data: 1");
  await waiting.cancel();
});

test("a farewell comes in place of what waits, and is the end", async () => {
  const waiting = outletOf();
  const next = waiting.read();
  waiting.outlet.end("stopping", eventBytes({ data: "bye" }));
  expect([await next, await waiting.read()]).toEqual(["data: bye", "done"]);
  const behind = outletOf();
  behind.offer("1", "2");
  behind.outlet.end("stopping", eventBytes({ data: "bye" }));
  expect([await behind.read(), await behind.read()]).toEqual(["data: bye", "done"]);
  expect(behind.told).toMatchObject({ ended: "stopping", hurried: 1, sent: 0 });
  const finished = outletOf();
  finished.offer("1");
  finished.outlet.finish("given");
  expect([await finished.read(), await finished.read(), finished.told.ended]).toEqual(["data: 1", "done", "given"]);
});

test("events are read as they come, and a stream that falls silent is no longer waited for", async () => {
  let left = "";
  let given: ReadableStreamDefaultController<Uint8Array> | undefined;
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => void (given = controller),
    cancel: (reason) => void (left = String(reason)),
  });
  const seen: string[] = [];
  const reading = (async () => {
    for await (const { events, lastId } of eventsOf(stream, 300)) {
      seen.push(`${events.map(({ data }) => data).join()}@${lastId}`);
    }
  })();
  given?.enqueue(eventBytes({ id: "1", data: "a" }));
  await Bun.sleep(200);
  // A heartbeat is something that came.
  given?.enqueue(new TextEncoder().encode(":\n\n"));
  await Bun.sleep(200);
  given?.enqueue(eventBytes({ id: "2" }));
  expect(await reading.catch(String)).toBe("Error: nothing came for 300 ms");
  expect(seen).toEqual(["a@1", "@1", "@2"]);
  expect(left).toContain("nothing came");
});
