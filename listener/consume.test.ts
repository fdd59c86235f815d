import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Failure, type FailureCode, fail, ok, type Result } from "#shared/errors";
import { MailRequest } from "#contracts/mail";
import { makeValidator } from "#shared/validation";
import type { Fate } from "./pipeline.ts";
import {
  makeDoing,
  makeStoring,
  type Message,
  type Moving,
  queueFateOf,
  readEvent,
  readMessage,
  type TracedEntry,
} from "./consume.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const message = (more: Partial<Message> = {}): Message => ({
  exchange: "logs_topic",
  routingKey: "log.INFO",
  messageId: "id-1",
  timestamp: undefined,
  headers: {},
  body: bytes(`{"name":"a","data":{"b":1}}`),
  ...more,
});

const nameOf = (fate: Fate): string => (typeof fate === "string" ? fate : "hold" in fate ? "hold" : "unsure");

interface Moves {
  readonly onBury?: (id: string, reason: Failure) => void;
  readonly onPutOff?: (id: string, reason: Failure) => void;
  /** Whether RabbitMQ takes what is moved. */
  readonly taken?: boolean;
}

function moves({ onBury, onPutOff, taken = true }: Moves = {}): Moving<Message> {
  return {
    async bury(_, { id }, reason) {
      onBury?.(id, reason);
      return taken ? ok() : fail("unavailable");
    },
    async putOff(_, { id }, reason) {
      onPutOff?.(id, reason);
      return taken ? ok("retried" as const) : fail("unavailable");
    },
  };
}

describe("an event", () => {
  test("becomes an entry with the severity of its routing key and the identity of its message", () => {
    const { id, content } = readEvent(
      message({ routingKey: "log.ERROR", headers: { "x-created-at": "2026-01-01T00:00:00.5Z" } }),
    );
    expect(id).toBe("id-1");
    expect(content).toEqual(
      ok({
        name: "a",
        data: { b: 1 },
        severity: "ERROR",
        event_id: "id-1",
        created_at: "2026-01-01T00:00:00.5Z",
        origin: { exchange: "logs_topic", routing_key: "log.ERROR" },
      }),
    );
  });

  test("keeps where it came from; what has no exchange, or none that can be kept, is no reason to refuse it", () => {
    for (const more of [{ exchange: "" }, { exchange: "a\0b" }, { routingKey: "x".repeat(256) }]) {
      const { content } = readEvent(message(more));
      expect(content.ok && content.value).toMatchObject({ event_id: "id-1" });
      expect(content.ok && "origin" in content.value).toBe(false);
    }
  });

  test("without a sane message_id gets an id of its own", () => {
    for (const messageId of [undefined, "", "x".repeat(129), "a\0b", "\ud800"]) {
      expect(readEvent(message({ messageId })).id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    }
    expect(readEvent(message({ messageId: "x".repeat(128) })).id).toBe("x".repeat(128));
  });

  test("is as old as its header says, else its timestamp, else new", () => {
    const createdAt = (more: Partial<Message>): string => {
      const { content } = readEvent(message(more));
      return content.ok ? (content.value.created_at ?? "") : "";
    };
    const timestamp = new Date("2025-05-05T05:05:05Z");
    expect(createdAt({ timestamp, headers: { "x-created-at": "2024-01-01T00:00:00+02:00" } })).toBe(
      "2024-01-01T00:00:00+02:00",
    );
    for (const bad of ["yesterday", "2024-13-01T00:00:00Z", 5, null]) {
      expect(createdAt({ timestamp, headers: { "x-created-at": bad } })).toBe(timestamp.toISOString());
    }
    expect(Math.abs(Date.now() - Date.parse(createdAt({})))).toBeLessThan(5_000);
  });

  test("continues the trace of its sender", () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    expect(readEvent(message({ headers: { traceparent } })).trace.traceId).toBe("0af7651916cd43dd8448eb211c80319c");
  });

  test("has its producer's number where that is one, and is taken whatever else is in those headers", () => {
    const producerOf = (headers: Record<string, unknown>) => {
      const { content } = readEvent(message({ headers }));
      return content.ok ? content.value.producer : "refused";
    };
    expect(producerOf({ "x-producer": "p", "x-sequence": 7, "x-voided": [5, 6] })).toEqual({
      id: "p",
      sequence: 7,
      voided: [5, 6],
    });
    expect(producerOf({ "x-producer": "p", "x-sequence": 7 })).toEqual({ id: "p", sequence: 7 });
    for (const bad of [
      {},
      { "x-producer": "p" },
      { "x-sequence": 7 },
      { "x-producer": "", "x-sequence": 7 },
      { "x-producer": { "!": "timestamp", value: 1 }, "x-sequence": 7 },
      { "x-producer": "p", "x-sequence": 0 },
      { "x-producer": "p", "x-sequence": "7" },
      { "x-producer": "p", "x-sequence": 1.5 },
      { "x-producer": "p", "x-sequence": 7, "x-voided": [0] },
      { "x-producer": "p", "x-sequence": 7, "x-voided": "5" },
    ]) {
      expect(producerOf(bad)).toBeUndefined();
    }
  });

  test("is invalid unless it is a JSON object with a name and data, within the limits", () => {
    const rubbish = [
      "",
      "{",
      "null",
      "[]",
      `"text"`,
      `{"name":"a"}`,
      `{"data":1}`,
      `{"name":"","data":1}`,
      `{"name":1,"data":1}`,
      `{"name":"${"n".repeat(256)}","data":1}`,
      `{"name":"a","data":1}{"name":"b","data":2}`,
      `{"name":"a","data":"\\ud800"}`,
      `{"name":"a","__proto__":{},"data":1}`,
      `{"name":"a","data":${"[".repeat(41)}${"]".repeat(41)}}`,
    ].map(bytes);
    rubbish.push(Uint8Array.from([0xff, 0xfe, 0x7b]));
    for (const body of rubbish) {
      const { content } = readEvent(message({ body }));
      expect(content.ok).toBe(false);
      if (!content.ok) expect(queueFateOf(content.error)).toBe("dead");
    }
    for (const data of ["null", "0", `""`, "[]", `{"__proto__":{"a":1}}`]) {
      expect(readEvent(message({ body: bytes(`{"name":"a","data":${data},"other":1}`) })).content.ok).toBe(true);
    }
  });
});

test("a failure that is about us holds the message; what is about the message does not", () => {
  for (const code of [
    "unavailable",
    "deadline",
    "exhausted",
    "bad_gateway",
    "unauthenticated",
    "forbidden",
    "not_found",
  ] as const) {
    expect(queueFateOf(new Failure(code))).toBe("hold");
  }
  for (const code of ["invalid", "too_large", "malformed"] as const)
    expect(queueFateOf(new Failure(code))).toBe("dead");
  for (const code of ["internal", "conflict"] as const) expect(queueFateOf(new Failure(code))).toBe("retry");
});

describe("storing", () => {
  const received = (id: string, valid = true) => {
    const event = message({ messageId: id, body: bytes(valid ? `{"name":"a","data":"${id}"}` : "rubbish") });
    return { message: event, reading: readEvent(event) };
  };

  test("finds the one entry that a whole batch is refused for, whatever the batch", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("good", "rubbish", "poison"), { minLength: 1, maxLength: 40 }),
        async (kinds) => {
          const stored: string[] = [];
          const buried: string[] = [];
          const store = async (entries: readonly TracedEntry[]): Promise<Result<undefined[]>> => {
            if (entries.some(({ entry }) => entry.event_id?.startsWith("poison"))) return fail("too_large", "no");
            stored.push(...entries.map(({ entry }) => entry.event_id ?? ""));
            return ok(entries.map(() => undefined));
          };
          const moving = moves({ onBury: (id) => buried.push(id) });
          const batch = kinds.map((kind, index) => received(`${kind}-${index}`, kind !== "rubbish"));
          const fates = await makeStoring(store, moving)(batch);
          expect(fates).toEqual(kinds.map((kind) => (kind === "good" ? "done" : "dead")));
          const ids = (wanted: (kind: string) => boolean) =>
            kinds
              .map((kind, index) => ({ kind, id: `${kind}-${index}` }))
              .filter(({ kind }) => wanted(kind))
              .map(({ id }) => id);
          expect(stored.sort()).toEqual(ids((kind) => kind === "good").sort());
          expect(buried.sort()).toEqual(ids((kind) => kind !== "good").sort());
        },
      ),
      { numRuns: 50 },
    );
  });

  test("decides for each entry by what the logger says of it", async () => {
    const codes: (FailureCode | undefined)[] = [undefined, "invalid", "unavailable", "internal", "conflict"];
    const store = async () =>
      ok(codes.map((code) => (code === undefined ? undefined : new Failure(code, `because ${code}`))));
    const moved: string[] = [];
    const moving = moves({
      onBury: (id, reason) => moved.push(`buried ${id}: ${reason.message}`),
      onPutOff: (id, reason) => moved.push(`put off ${id}: ${reason.message}`),
    });
    const fates = await makeStoring(store, moving)(codes.map((_, index) => received(`m${index}`)));
    expect(fates.map(nameOf)).toEqual(["done", "dead", "hold", "unsure", "retried"]);
    expect(moved).toEqual(["buried m1: because invalid", "put off m4: because conflict"]);
  });

  test("a batch that the logger breaks at is split, so that the one that broke it is known", async () => {
    const store = async (entries: readonly TracedEntry[]): Promise<Result<undefined[]>> =>
      entries.some(({ entry }) => entry.event_id === "m2") ? fail("internal") : ok(entries.map(() => undefined));
    const fates = await makeStoring(store, moves())([0, 1, 2, 3].map((index) => received(`m${index}`)));
    expect(fates.map(nameOf)).toEqual(["done", "done", "unsure", "done"]);
  });

  test("holds all of a batch while the logger is away, and what cannot be buried", async () => {
    const away = makeStoring<Message>(async () => fail("unavailable"), moves());
    expect((await away([received("a"), received("b")])).every((fate) => typeof fate === "object")).toBe(true);
    const noGrave = makeStoring<Message>(async (entries) => ok(entries.map(() => undefined)), moves({ taken: false }));
    const [good, rubbish] = await noGrave([received("a"), received("b", false)]);
    expect(good).toBe("done");
    expect(rubbish).toMatchObject({ hold: { code: "unavailable" } });
  });
});

test("a job is done, dead-lettered where it is refused, put off where it collides, and held while its neighbour is away", async () => {
  const validate = makeValidator(MailRequest);
  const job = (to: string) => {
    const body = bytes(JSON.stringify({ from: "a@example.com", to, subject: "s", message: "m" }));
    const sent = message({ messageId: to, body });
    return { message: sent, reading: readMessage(sent, validate) };
  };
  const moved: string[] = [];
  const results: Record<string, Result<void>> = {
    "ok@example.com": ok(),
    "away@example.com": fail("unavailable"),
    "refused@example.com": fail("invalid", "no such domain"),
    "busy@example.com": fail("conflict", "under way"),
    "broken@example.com": fail("internal"),
  };
  const doing = makeDoing<Message, MailRequest>(
    async (_, mail, id) => {
      expect(id).toBe(mail.to);
      return results[mail.to] ?? ok();
    },
    moves({
      onBury: (id, reason) => moved.push(`buried ${id}: ${reason.message}`),
      onPutOff: (id, reason) => moved.push(`put off ${id}: ${reason.message}`),
    }),
  );
  const fates = await doing([...Object.keys(results), "two, of them"].map(job));
  expect(fates.map(nameOf)).toEqual(["done", "hold", "dead", "retried", "unsure", "dead"]);
  expect(moved).toContain("buried two, of them: to must be one plain e-mail address");
  expect(moved.filter((line) => line.includes("@"))).toEqual([
    "buried refused@example.com: no such domain",
    "put off busy@example.com: under way",
  ]);
});

test("a body that a bug of ours throws at is put off by itself, and costs the others nothing", async () => {
  const sent = message();
  const reading = readMessage(sent, () => {
    throw new TypeError("a bug");
  });
  const moved: string[] = [];
  const doing = makeDoing<Message, unknown>(async () => ok(), moves({ onPutOff: (id) => moved.push(id) }));
  expect((await doing([{ message: sent, reading }])).map(nameOf)).toEqual(["retried"]);
  expect(moved).toEqual(["id-1"]);
});
