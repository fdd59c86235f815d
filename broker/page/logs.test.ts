/** What is asked of the log is an address: it survives the way there and back, and means the same. What is followed is kept within bounds. */
import { expect, test } from "bun:test";
import { KEPT, makeLiveEntries } from "./browser/console/live-entries.ts";
import { askedOf, exportProblem, fieldProblem, followedOf, queryOf, searchOf } from "./browser/console/log-query.ts";

const NOW = Date.parse("2026-12-01T12:00:00.000Z");

test.each([
  [""],
  ["severity=ERROR&severity=WARNING&name=order&name=payment&q=card+declined"],
  ["data.user.id=42&data.items.0.sku=%227%22"],
  ["from=2026-12-01T10%3A00%3A00.000Z&to=2026-12-01T11%3A00%3A00.000Z"],
  ["last=7d"],
  ["trace_id=4bf92f3577b34da6a3ce929d0e0e4736"],
  ["producer=broker-1&last=all"],
])("the address %p comes back as it was", (search) => {
  expect(searchOf(queryOf(search))).toBe(new URLSearchParams(search).toString());
});

test("without times it is the last hour; with an id it is whenever that was; times that are given count", () => {
  expect(askedOf(queryOf(""), NOW).toString()).toBe("from=2026-12-01T11%3A00%3A00.000Z");
  expect(askedOf(queryOf("last=15m"), NOW).get("from")).toBe("2026-12-01T11:45:00.000Z");
  expect(askedOf(queryOf("request_id=r"), NOW).toString()).toBe("request_id=r");
  const asked = askedOf(queryOf("from=2026-01-01T00:00:00Z&last=15m&name=a"), NOW);
  expect(asked.toString()).toBe("name=a&from=2026-01-01T00%3A00%3A00Z");
});

test("what is followed has no times; what is not known is left out", () => {
  const query = queryOf("?from=2026-01-01T00:00:00Z&severity=ERROR&severity=LOUD&other=1&name=");
  expect(followedOf(query).toString()).toBe("severity=ERROR");
  expect(queryOf("last=constructor").last).toBe("1h");
});

test("a field of the data is a path and a value", () => {
  expect(["user.id=42", "a=", "", "a=b=c"].map(fieldProblem)).toEqual([undefined, undefined, undefined, undefined]);
  expect(["user.id", "=42", " a=1"].map((text) => fieldProblem(text) !== undefined)).toEqual([true, true, true]);
});

test("an export is whole where its last line says so", () => {
  const entry = '{"event_id":"a","data":"{\\"$export\\":1}"}';
  const end = (said: unknown): string => `${entry.slice(7)}\n${JSON.stringify({ $export: said })}\n`;
  expect(exportProblem(end({ complete: true, entries: 1 }))).toBeUndefined();
  expect(exportProblem(end({ complete: false, entries: 1, error: "the store is away" }))).toBe("the store is away");
  for (const cut of ["", `${entry}\n`, entry.slice(0, 20), "null\n"]) expect(exportProblem(cut)).toBe("it was cut off");
});

const live = (number: number) => ({
  event_id: `e-${number}`,
  name: "n",
  severity: "INFO",
  data: number,
  created_at: "2026-12-01T12:00:00.000Z",
});

test("what comes waits until it is shown, newest first; what comes twice is there once", () => {
  const entries = makeLiveEntries();
  for (const number of [1, 2, 2, 3]) entries.add(live(number));
  expect([entries.shown.length, entries.waiting, entries.count]).toEqual([0, 3, 3]);
  entries.show();
  const { shown } = entries;
  entries.add(live(1));
  entries.show();
  expect(entries.shown).toBe(shown);
  expect(shown.map(({ data }) => data)).toEqual([3, 2, 1]);
});

test("the newest are kept, as many again wait, and what is let go unseen is counted, with what the sender left out", () => {
  const entries = makeLiveEntries();
  for (let number = 0; number < KEPT; number += 1) entries.add(live(number));
  entries.show();
  for (let number = KEPT; number < 2 * KEPT + 5; number += 1) entries.add(live(number));
  entries.leaveOut(2);
  expect([entries.waiting, entries.count, entries.dropped]).toEqual([KEPT, 2 * KEPT + 5, 7]);
  entries.show();
  expect([entries.shown.length, entries.shown[0]?.data, entries.shown.at(-1)?.data]).toEqual([
    KEPT,
    2 * KEPT + 4,
    KEPT + 5,
  ]);
  // What was let go is not known any more: it can come again.
  entries.add(live(0));
  expect(entries.waiting).toBe(1);
  entries.clear();
  expect([entries.shown.length, entries.waiting, entries.count, entries.dropped]).toEqual([0, 1, 1, 0]);
});
