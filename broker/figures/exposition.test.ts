/** What is read of a service's metrics. */
import { expect, test } from "bun:test";
import { makeMetrics } from "#shared/telemetry";
import { readExposition } from "./exposition.ts";

const read = (text: string, ...wanted: string[]) => readExposition(text, new Set(wanted));

test("samples that are wanted, by their names and labels; no comment, and nothing else", () => {
  const found = read(
    `# HELP a_total Things.
# TYPE a_total counter
a_total{service="x",kind="one"} 3
a_total{service="x",kind="two"} 4.5e3 1700000000000
a_totally{kind="one"} 9
plain 7

other{kind="one"} 1`,
    "a_total",
    "plain",
    "away",
  );
  expect([...found.keys()]).toEqual(["a_total", "plain"]);
  expect([...(found.get("a_total")?.values() ?? [])]).toEqual([
    { labels: { service: "x", kind: "one" }, value: 3 },
    { labels: { service: "x", kind: "two" }, value: 4_500 },
  ]);
  expect([...(found.get("plain")?.values() ?? [])]).toEqual([{ labels: {}, value: 7 }]);
});

test("labels are read as the library writes them", async () => {
  const metrics = makeMetrics("x", "1");
  const odd = 'a "quoted" {brace} \\ back\nnext, b="c"';
  metrics.counter("odd_total", "Odd.", ["name"]).inc({ name: odd }, 2);
  metrics[Symbol.dispose]();
  const [sample] =
    read(await metrics.text(), "odd_total")
      .get("odd_total")
      ?.values() ?? [];
  expect(sample).toEqual({ labels: { name: odd, service: "x" }, value: 2 });
});

test.each(["", "\n\n", "a", "a ", "a{", "a{} ", "a{b=", 'a{b="c"} x', "a NaN", "{} 1", "<html>a 1</html>"])(
  "%j has no sample of a",
  (text) => {
    expect(read(text, "a").size).toBe(0);
  },
);

test("infinity is a number; the text may end without a line's end", () => {
  const text = 'a{le="+Inf"} +Inf\na{le="1"} 2';
  expect([...(read(text, "a").get("a")?.values() ?? [])].map(({ value }) => value)).toEqual([
    Number.POSITIVE_INFINITY,
    2,
  ]);
});

test("labels that were read before are those of before", () => {
  const before = read('a{b="c"} 1', "a");
  const after = readExposition('a{b="c"} 2\na{b="d"} 3', new Set(["a"]), before);
  const labels = (found: typeof before) => found.get("a")?.get('{b="c"}')?.labels;
  expect(labels(after)).toBe(labels(before) as never);
  expect(after.get("a")?.size).toBe(2);
});

test("no text makes it keep more than 20,000 samples", () => {
  const text = Array.from({ length: 25_000 }, (_, index) => `a{n="${index}"} 1`).join("\n");
  expect(read(text, "a").get("a")?.size).toBe(20_000);
});
