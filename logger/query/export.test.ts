import { expect, test } from "bun:test";
import type { LogItem } from "#contracts/log-queries";
import { Failure } from "#shared/errors";
import { ndjsonOf } from "./export.ts";

const item = (id: number): LogItem => ({ event_id: `${id}`, name: "n", severity: "INFO", data: "\n", created_at: "t" });

/** `parts` entries one at a time; what was asked for of it, and whether it was closed. */
function source(parts: number, end?: Error) {
  const seen = { asked: 0, closed: false };
  async function* all(): AsyncGenerator<readonly LogItem[]> {
    try {
      for (let part = 0; part < parts; part += 1) {
        seen.asked += 1;
        yield [item(part)];
      }
      if (end !== undefined) throw end;
    } finally {
      seen.closed = true;
    }
  }
  return { seen, entries: all() };
}

test("a line for each entry, and a last one that none can be taken for", async () => {
  const ends: unknown[] = [];
  const text = await new Response(ndjsonOf(source(2).entries, (how) => ends.push(how))).text();
  expect(text.split("\n").map((line) => (line === "" ? line : (JSON.parse(line) as unknown)))).toEqual([
    item(0),
    item(1),
    { $export: { complete: true, entries: 2 } },
    "",
  ]);
  expect(ends).toEqual(["complete"]);
});

test.each([
  [new Failure("unavailable", "MongoDB is unavailable"), "MongoDB is unavailable"],
  [new Error("a path on our disk"), "internal error"],
])("what breaks off says so, and nothing of what lies behind it", async (error, told) => {
  const ends: unknown[] = [];
  const text = await new Response(ndjsonOf(source(1, error).entries, (...how) => ends.push(...how))).text();
  const last = text.trim().split("\n").at(-1) ?? "";
  expect(JSON.parse(last)).toEqual({ $export: { complete: false, entries: 1, error: told } });
  expect(ends).toEqual(["failed", error]);
});

test("no more is asked for than is read; and nothing once the reader has gone", async () => {
  const { seen, entries } = source(1_000);
  const ends: unknown[] = [];
  const reader = ndjsonOf(entries, (how) => ends.push(how)).getReader();
  await reader.read();
  await reader.read();
  await Bun.sleep(20);
  expect(seen.asked).toBeLessThanOrEqual(4);
  await reader.cancel();
  expect(seen.closed).toBe(true);
  expect(ends).toEqual(["left"]);
});
