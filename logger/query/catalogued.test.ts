import { expect, test } from "bun:test";
import { Deadline } from "#shared/resilience";
import type { Logs } from "../mongo.ts";
import type { Catalog, Listed } from "./catalog.ts";
import { makeCatalogReader } from "./catalogued.ts";
import { makeSegmentBuilder } from "./segment.ts";

/** Segments with entries at these times, newest first. */
function catalogOf(...times: number[][]): Catalog {
  const segments = times.map((some) => {
    const builder = makeSegmentBuilder();
    for (const at of some) builder.add({ event_id: `id-${at}`, name: "n", severity: "INFO", data: "", at });
    return builder.build();
  });
  const listed = times.map(
    (some, number): Listed => ({ number, newest: Math.max(...some), oldest: Math.min(...some), rows: some.length }),
  );
  return {
    list: () => Promise.resolve(listed),
    segment: (_: Logs, { number }: Listed) => Promise.resolve(segments[number]),
  } as unknown as Catalog;
}

test("where there was no time to look at anything there is no cursor, which could only lead back", async () => {
  const reader = makeCatalogReader(catalogOf([100, 10], [90, 5]));
  const logs = {} as Logs;
  for (const after of [undefined, { at: 50, id: "x" }, { at: 100, id: "x" }]) {
    const page = reader.page(logs, {}, after, 10, Deadline.after(1_000));
    expect(await page.catch((error: unknown) => error)).toMatchObject({ code: "deadline" });
  }
});
