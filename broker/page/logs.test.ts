/** What is asked of the log is an address: it survives the way there and back, and means the same. */
import { expect, test } from "bun:test";
import { askedOf, fieldProblem, followedOf, queryOf, searchOf } from "./browser/console/log-query.ts";

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
