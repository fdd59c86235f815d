import { describe, expect, test } from "bun:test";
import type { DeadLetterChoice, Parked } from "#contracts/dead-letters";
import { type ParkedMessage, topologyOf } from "#shared/amqp";
import { destinationOf, headersOf, letterOf, matcherOf, topicMatcher } from "./view.ts";

const topology = topologyOf();
const now = new Date("2026-05-05T12:00:00Z");

function message(more: Partial<ParkedMessage> = {}): ParkedMessage {
  return {
    exchange: "logs.dlx",
    routingKey: "log.ERROR",
    messageId: "m1",
    contentType: "application/json",
    timestamp: undefined,
    headers: {},
    body: new TextEncoder().encode(`{"name":"a","data":1}`),
    redelivered: false,
    deliveries: 0,
    properties: {},
    raw: {} as ParkedMessage["raw"],
    ...more,
  };
}

test.each([
  ["log.ERROR", "log.ERROR", true],
  ["log.*", "log.ERROR", true],
  ["log.*", "log", false],
  ["log.*", "log.a.b", false],
  ["#", "", true],
  ["#", "a.b.c", true],
  ["log.#", "log", true],
  ["log.#", "log.a.b", true],
  ["#.ERROR", "a.b.ERROR", true],
  ["#.ERROR", "a.ERROR.b", false],
  ["*.#.*", "a.b", true],
  ["*.#.*", "a", false],
  ["a.#.b.#.c", "a.x.b.y.z.c", true],
  ["*", "", true],
  ["", "a", false],
])("the pattern %p and the key %p: %p", (pattern, key, matches) => {
  expect(topicMatcher(pattern)(key)).toBe(matches);
});

test("no pattern takes long", () => {
  const startedAt = performance.now();
  expect(topicMatcher(`${"#.a.".repeat(60)}b`)(Array(120).fill("a").join("."))).toBe(false);
  expect(performance.now() - startedAt).toBeLessThan(100);
});

describe("a letter", () => {
  test("of the listener says its error, its time and how often it was tried", () => {
    const headers = {
      "x-error": "name is needed",
      "x-attempt": 4,
      "x-failed-at": "2026-05-05T11:00:00Z",
      "x-created-at": "2026-05-01T00:00:00Z",
      "x-replayed-by": "user:1",
    };
    expect(letterOf(message({ headers }), "logs", topology)).toEqual({
      id: "m1",
      parked: "logs",
      routing_key: "log.ERROR",
      error: "name is needed",
      at: "2026-05-05T11:00:00.000Z",
      attempts: 4,
      bytes: 21,
      content_type: "application/json",
      preview: `{"name":"a","data":1}`,
      replayed_by: "user:1",
    });
  });

  test("of RabbitMQ itself says why in words, since when, and the key that it came under first", () => {
    const headers = {
      "x-death": [{ reason: "delivery_limit", count: 1, time: { "!": "timestamp", value: 1_700_000_000 } }],
      "x-original-routing-key": "log.WARNING",
    };
    const letter = (routingKey: string) => letterOf(message({ headers, routingKey }), "logs", topology);
    expect(letter("replay.logs.main.v1")).toMatchObject({
      routing_key: "log.WARNING",
      at: "2023-11-14T22:13:20.000Z",
      attempts: 0,
    });
    expect(letter("replay.logs.main.v1").error).toContain("crash or a lost connection");
    // A header that a foreign producer sent is not believed.
    expect(letter("log.INFO").routing_key).toBe("log.INFO");
  });

  test("shows what is no text, and is short", () => {
    const body = Uint8Array.from([0xff, 0x00, 0x41]);
    expect(letterOf(message({ body }), "logs", topology).preview).toBe("\u{fffd}\0A");
    const long = letterOf(
      message({ body: new TextEncoder().encode("ä".repeat(9_000)), headers: { "x-error": "e".repeat(9_000) } }),
      "logs",
      topology,
    );
    expect(long.preview).toBe("ä".repeat(2_000));
    expect(long.error).toHaveLength(1_000);
    expect(
      letterOf(message({ messageId: undefined, headers: { "x-failed-at": "nonsense" } }), "jobs", topology),
    ).toEqual(expect.not.objectContaining({ at: expect.anything() }));
  });
});

test("headers are shown as text, what is none as JSON, and not without end", () => {
  const headers = {
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "x-attempt": 4,
    long: "x".repeat(9_000),
    deep: { large: 2n ** 60n, list: [1, "b"] },
    nothing: undefined,
  };
  expect(headersOf(message({ headers }))).toEqual({
    traceparent: headers.traceparent,
    "x-attempt": "4",
    long: "x".repeat(1_000),
    deep: '{"large":"1152921504606846976","list":[1,"b"]}',
    nothing: "",
  });
  const many = Object.fromEntries(Array.from({ length: 150 }, (_, at) => [`h${at}`, "x"]));
  expect(Object.keys(headersOf(message({ headers: many })))).toHaveLength(100);
});

test("a filter means what meets all its conditions", () => {
  const means = (filter: DeadLetterChoice, more: Partial<ParkedMessage> = {}, parked: Parked = "logs") =>
    matcherOf(filter, topology, now)(message(more), parked);
  const headers = { "x-error": "Name is NEEDED", "x-failed-at": "2026-05-05T11:59:00Z" };
  expect(means({})).toBe(true);
  expect(means({ id: "m1" })).toBe(true);
  expect(means({ id: "m" })).toBe(false);
  expect(means({ ids: ["m0", "m1"] })).toBe(true);
  expect(means({ ids: ["m0", "m1"], routing_key: "log.INFO" })).toBe(false);
  expect(means({ ids: ["m0"] })).toBe(false);
  expect(means({ ids: ["m1"] }, { messageId: undefined })).toBe(false);
  expect(means({ routing_key: "log.*", error: "name is" }, { headers })).toBe(true);
  expect(means({ routing_key: "log.INFO", error: "name is" }, { headers })).toBe(false);
  expect(means({ older_than_s: 60 }, { headers })).toBe(true);
  expect(means({ older_than_s: 61 }, { headers })).toBe(false);
  expect(means({ younger_than_s: 60 }, { headers })).toBe(true);
  expect(means({ younger_than_s: 59 }, { headers })).toBe(false);
  // Whose age nobody knows.
  expect(means({ older_than_s: 0 })).toBe(false);
  expect(means({ error: "no queue" }, {}, "unrouted")).toBe(true);
});

describe("sent again", () => {
  const headers = {
    "x-error": "e",
    "x-attempt": 4,
    "x-failed-at": "2026-05-05T11:00:00Z",
    "x-death": [{ reason: "rejected" }],
    "x-first-death-queue": "q",
    "x-last-death-reason": "rejected",
    "x-delivery-count": 3,
    "x-created-at": "2026-05-01T00:00:00Z",
    "x-producer": "p",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    CC: ["log.INFO"],
    mine: { a: [1, "b"] },
  };

  test("a message keeps its id and its headers, without what is past", () => {
    const to = destinationOf(message({ headers }), "logs", topology, "user:1");
    expect(to).toMatchObject({ exchange: "return", routingKey: "replay.logs.main.v1", messageId: "m1" });
    expect(to.headers).toEqual({
      "x-created-at": "2026-05-01T00:00:00Z",
      "x-producer": "p",
      traceparent: headers.traceparent,
      mine: { a: [1, "b"] },
      "x-original-routing-key": "log.ERROR",
      "x-replayed-by": "user:1",
    });
  });

  test("a job goes to its kind, and everything else to the queue of events", () => {
    const to = (parked: Parked, routingKey: string) => {
      const { exchange, routingKey: key } = destinationOf(message({ routingKey }), parked, topology, "me");
      return [exchange, key];
    };
    expect(to("jobs", "mail")).toEqual(["jobs", "mail"]);
    expect(to("unrouted", "audit.login")).toEqual(["return", "replay.logs.main.v1"]);
  });

  test("what has no id, or none that anybody would keep, gets one", () => {
    for (const messageId of [undefined, "", "x".repeat(129), "a\0b", "\ud800"]) {
      expect(destinationOf(message({ messageId }), "logs", topology, "me").messageId).toMatch(
        /^[0-9a-f]{8}-[0-9a-f]{4}-7/,
      );
    }
  });
});
