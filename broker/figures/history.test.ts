/** What is kept of figures, and for how long. */
import { expect, test } from "bun:test";
import { makeHistory, type Point, shown } from "./history.ts";

const point = (series: string, value: number | null, chart = "c"): Point => ({ part: "auth", chart, series, value });

test("a window has a value or null of each series for each of its times, oldest first", () => {
  const history = makeHistory({ samples: 10, series: 10 });
  history.record(100, [point("a", 1), point("b", null)]);
  history.record(105.4, [point("a", 2)]);
  history.record(110, [point("a", 3), point("b", 7), point("a", 0.123456, "d")]);
  const all = history.window("auth", 0);
  expect(all.at).toEqual([100, 105, 110]);
  expect(Object.fromEntries(all.charts)).toEqual({
    c: [
      { name: "a", values: [1, 2, 3] },
      { name: "b", values: [null, null, 7] },
    ],
    d: [{ name: "a", values: [null, null, 0.1235] }],
  });
  expect(history.window("auth", 105).charts.get("c")?.[0]).toEqual({ name: "a", values: [2, 3] });
  expect(history.window("mail", 0)).toEqual({ at: [100, 105, 110], charts: new Map() });
});

test("the oldest gives way to the newest, and leaves nothing of itself", () => {
  const history = makeHistory({ samples: 3, series: 10 });
  for (let n = 1; n <= 5; n += 1) history.record(n, n === 4 ? [] : [point("a", n)]);
  expect(history.window("auth", 0).at).toEqual([3, 4, 5]);
  expect(history.window("auth", 0).charts.get("c")).toEqual([{ name: "a", values: [3, null, 5] }]);
});

test("series have a bound; one that is not heard of any more makes room", () => {
  const history = makeHistory({ samples: 2, series: 2 });
  const names = () =>
    history
      .window("auth", 0)
      .charts.get("c")
      ?.map(({ name }) => name);
  history.record(1, [point("a", 1), point("b", 1), point("c", 1)]);
  expect(names()).toEqual(["a", "b"]);
  history.record(2, [point("b", 1), point("c", 1)]);
  history.record(3, [point("b", 1), point("c", 1)]);
  expect(names()).toEqual(["b", "c"]);
});

test("figures are shown with four digits, and only what is a number", () => {
  expect([1_234_567, 0.000123456, 0, -2.5].map(shown)).toEqual([1_235_000, 0.0001235, 0, -2.5]);
  expect([null, Number.NaN, Number.POSITIVE_INFINITY].map(shown)).toEqual([null, null, null]);
});
