import { describe, expect, test } from "bun:test";
import type { LogFilter } from "#contracts/log-queries";
import type { LogDocument } from "../documents.ts";
import { makeDatabase, mongoUrl, NEEDS_MONGODB, startLogger, TEST_MONGODB_URL } from "../testing.ts";
import { conditionsOf } from "./indexed.ts";

/** Each documented way to ask. */
const DOCUMENTED: LogFilter[] = [
  {},
  { name: ["a"] },
  { name: ["a", "b"], severity: ["ERROR"] },
  { severity: ["ERROR", "WARNING"] },
  { from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z" },
  { producer: "p" },
  { trace_id: "a".repeat(32) },
  { request_id: "r" },
  { event_id: "e" },
  { data: [{ path: "user.id", equals: 42 }] },
  { q: "two words" },
];

test("values from outside are values: under $eq or $in, and never an operator", () => {
  const filter: LogFilter = {
    name: ["$where"],
    severity: ["ERROR", "INFO"],
    data: [{ path: "user.id", equals: '{"$gt":0}' }],
    q: '"quoted" -minus $text',
  };
  expect(conditionsOf(filter, true)).toEqual([
    { name: { $eq: "$where" } },
    { severity: { $in: ["ERROR", "INFO"] } },
    { "data.user.id": { $eq: '{"$gt":0}' } },
    { $text: { $search: '"quoted" "minus" "text"' } },
  ]);
  expect(conditionsOf(filter, false)).not.toContainEqual(expect.objectContaining({ $text: expect.anything() }));
});

describe.skipIf(TEST_MONGODB_URL === undefined)(`indexes for questions ${NEEDS_MONGODB}`, () => {
  test("no documented question makes MongoDB read the whole collection", async () => {
    await using database = await makeDatabase();
    // FerretDB tells no plan: there the catalog is asked, and bench/queries.ts shows that time does not grow with entries.
    if ("ferretdbVersion" in (await database.client.db().admin().buildInfo())) return;
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready(60_000);
    const logs = database.client.db(database.name).collection<LogDocument>("logs");
    for (const filter of DOCUMENTED) {
      const conditions = conditionsOf(filter, true);
      const plan = await logs
        .find(conditions.length === 0 ? {} : { $and: conditions })
        .sort({ created_at: -1, _id: -1 })
        .limit(50)
        .explain("queryPlanner");
      expect([filter, JSON.stringify(plan).includes('"COLLSCAN"')]).toEqual([filter, false]);
    }
  }, 120_000);
});
