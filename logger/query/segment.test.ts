import { expect, test } from "bun:test";
import { makeMatcher } from "./filter.ts";
import {
  decodeSegment,
  encodeSegment,
  type Indexed,
  makeSegmentBuilder,
  type Segment,
  withoutRows,
} from "./segment.ts";
import { termsAsked } from "./terms.ts";

const entry = (id: string, more: Partial<Indexed> = {}): Indexed => ({
  event_id: id,
  name: "order",
  severity: "INFO",
  data: "text",
  at: 1,
  ...more,
});

function segmentOf(entries: readonly Indexed[]): Segment {
  const builder = makeSegmentBuilder();
  for (const one of entries) builder.add(one);
  return builder.build();
}

const idsOf = (segment: Segment, asked: Parameters<typeof termsAsked>[0]): string[] =>
  [...segment.matching(termsAsked(asked))].map((row) => segment.eventId(row));

const UUID = "01998f5e-7c10-7a00-8b3c-3f5e9d2a4c11";
const ENTRIES = [
  entry(UUID, { data: { user: { id: 42 }, list: [1, { deep: "Ümlaut_x" }] }, trace_id: "a".repeat(32) }),
  entry("own id", { severity: "ERROR", data: "The CARD was declined", request_id: "r1" }),
  entry("third", { name: "payment", data: { user: { id: "42" } }, producer: { id: "p", sequence: 1 }, at: 7.5 }),
];

test.each([
  [{}, [UUID, "own id", "third"]],
  [{ name: ["order"] }, [UUID, "own id"]],
  [{ name: ["payment", "order"], severity: ["ERROR" as const] }, ["own id"]],
  [{ data: [{ path: "user.id", equals: 42 }] }, [UUID]],
  [{ data: [{ path: "user.id", equals: "42" }] }, ["third"]],
  [{ data: [{ path: "list.0", equals: 1 }] }, [UUID]],
  [{ q: "card declined" }, ["own id"]],
  [{ q: "car" }, []],
  [{ q: "ümlaut_X" }, [UUID]],
  [{ q: "payment" }, ["third"]],
  [{ trace_id: "a".repeat(32) }, [UUID]],
  [{ request_id: "r1", producer: "p" }, []],
  [{ producer: "p" }, ["third"]],
])("%j finds %j, before and after it was kept as bytes, and as the matcher decides", (filter, expected) => {
  const segment = segmentOf(ENTRIES);
  expect(idsOf(segment, filter)).toEqual(expected);
  // At any offset, as bytes of a driver are.
  const bytes = Buffer.concat([Buffer.alloc(3), encodeSegment(segment)]).subarray(3);
  const kept = decodeSegment(bytes);
  expect(kept === undefined ? [] : idsOf(kept, filter)).toEqual(expected);
  expect(kept?.times).toEqual(Float64Array.of(1, 1, 7.5));
  const isMatch = makeMatcher(filter);
  const matched = ENTRIES.filter((one) => isMatch({ ...one, created_at: "2026-01-01T00:00:00Z" }));
  expect(matched.map(({ event_id }) => event_id)).toEqual(expected);
});

test("an entry with more terms than are kept may be anything, and is always looked at", () => {
  const many = Array.from({ length: 200 }, (_, index) => `w${index}`).join(" ");
  const segment = segmentOf([entry("few"), entry("many", { data: many })]);
  expect(idsOf(segment, { q: "nowhere" })).toEqual(["many"]);
  expect(idsOf(segment, { name: ["order"] })).toEqual(["few", "many"]);
  expect([...segment.open]).toEqual([1]);
});

test("rows that are gone are found no more, the others as before", () => {
  const rest = withoutRows(segmentOf(ENTRIES), new Set([1]));
  expect(idsOf(rest, {})).toEqual([UUID, "third"]);
  expect(idsOf(rest, { severity: ["ERROR"] })).toEqual([]);
  expect(idsOf(rest, { name: ["payment"] })).toEqual(["third"]);
  expect(decodeSegment(encodeSegment(rest))?.rows).toBe(2);
  expect(withoutRows(rest, new Set([0, 1])).rows).toBe(0);
});
