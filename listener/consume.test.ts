import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { LogEntry } from "#contracts/logs";
import { FAILURES, Failure, type FailureCode, fail, ok, type Result } from "#shared/errors";
import { type Bury, fateOf, makeMailing, makeStoring, type Message, readEvent, readMailJob } from "./consume.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const message = (more: Partial<Message> = {}): Message => ({
  routingKey: "log.INFO",
  messageId: "id-1",
  timestamp: undefined,
  headers: {},
  body: bytes(`{"name":"a","data":{"b":1}}`),
  ...more,
});

describe("an event", () => {
  test("becomes an entry with the severity of its routing key and the identity of its message", () => {
    const { id, content } = readEvent(
      message({ routingKey: "log.ERROR", headers: { "x-created-at": "2026-01-01T00:00:00.5Z" } }),
    );
    expect(id).toBe("id-1");
    expect(content).toEqual(
      ok({ name: "a", data: { b: 1 }, severity: "ERROR", event_id: "id-1", created_at: "2026-01-01T00:00:00.5Z" }),
    );
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
      if (!content.ok) expect(fateOf(content.error)).toBe("dead");
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
    expect(fateOf(new Failure(code))).toBe("hold");
  }
  for (const code of ["invalid", "too_large", "malformed"] as const) expect(fateOf(new Failure(code))).toBe("dead");
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
          const store = async (entries: readonly LogEntry[]): Promise<Result<undefined[]>> => {
            if (entries.some(({ event_id }) => event_id?.startsWith("poison"))) return fail("too_large", "no");
            stored.push(...entries.map(({ event_id }) => event_id ?? ""));
            return ok(entries.map(() => undefined));
          };
          const bury: Bury<Message> = async (_, id) => {
            buried.push(id);
            return ok();
          };
          const batch = kinds.map((kind, index) => received(`${kind}-${index}`, kind !== "rubbish"));
          const fates = await makeStoring(store, bury)(batch);
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
    const codes: (FailureCode | undefined)[] = [undefined, "invalid", "unavailable", "internal"];
    const store = async () =>
      ok(codes.map((code) => (code === undefined ? undefined : new Failure(code, `because ${code}`))));
    const reasons: string[] = [];
    const bury: Bury<Message> = async (_, id, reason) => {
      reasons.push(`${id}: ${reason.message}`);
      return ok();
    };
    const fates = await makeStoring(store, bury)(codes.map((_, index) => received(`m${index}`)));
    expect(fates.map((fate) => (typeof fate === "string" ? fate : "hold"))).toEqual([
      "done",
      "dead",
      "hold",
      FAILURES.internal.queue,
    ]);
    expect(reasons).toEqual(["m1: because invalid", "m3: because internal"]);
  });

  test("holds all of a batch while the logger is away, and what cannot be buried", async () => {
    const away = makeStoring<Message>(
      async () => fail("unavailable"),
      async () => ok(),
    );
    expect((await away([received("a"), received("b")])).every((fate) => typeof fate === "object")).toBe(true);
    const noGrave = makeStoring<Message>(
      async (entries) => ok(entries.map(() => undefined)),
      async () => fail("unavailable"),
    );
    const [good, rubbish] = await noGrave([received("a"), received("b", false)]);
    expect(good).toBe("done");
    expect(rubbish).toMatchObject({ hold: { code: "unavailable" } });
  });
});

test("a mail job is delivered, dead-lettered where it is refused, and held while the service is away", async () => {
  const job = (to: string) => {
    const body = bytes(JSON.stringify({ from: "a@example.com", to, subject: "s", message: "m" }));
    const sent = message({ messageId: to, body });
    return { message: sent, reading: readMailJob(sent) };
  };
  const buried: string[] = [];
  const mailing = makeMailing<Message>(
    async (mail, id) => {
      expect(id).toBe(mail.to);
      if (mail.to.startsWith("away")) return fail("unavailable");
      return mail.to.startsWith("refused") ? fail("invalid", "no such domain") : ok();
    },
    async (_, id, reason) => {
      buried.push(`${id}: ${reason.message}`);
      return ok();
    },
  );
  const fates = await mailing([
    job("ok@example.com"),
    job("away@example.com"),
    job("refused@example.com"),
    job("two, of them"),
  ]);
  expect(fates.map((fate) => (typeof fate === "string" ? fate : "hold"))).toEqual(["done", "hold", "dead", "dead"]);
  expect(buried).toContain("refused@example.com: no such domain");
});
