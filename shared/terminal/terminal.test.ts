import { expect, test } from "bun:test";
import { ageOf, harmless, oneLine, table } from "#shared/terminal";

test("what a terminal would obey is not written", () => {
  expect(harmless("a\u001b[31mred\r\n\tb")).toBe("a\u{fffd}[31mred\u{fffd}\n\tb");
  expect(oneLine("  a\n\t b\u0007 ")).toBe("a b\u{fffd}");
});

test("columns are as wide as what they hold, and lines end where the terminal does", () => {
  const rows = [
    ["long cell", "x"],
    ["日本", "and what is too long"],
  ];
  expect(table(["A", "B"], rows, { colour: false, columns: undefined })).toBe(
    "A           B\nlong cell   x\n日本        and what is too long\n",
  );
  expect(table(["A", "B"], rows, { colour: false, columns: 16 }).split("\n")[2]).toBe("日本        and ");
  expect(table(["A"], [], { colour: true, columns: 80 })).toBe("\u001b[2mA\u001b[22m\n");
});

test.each([
  [119, "119 s"],
  [120, "2 min"],
  [7_200, "2 h"],
  [172_800, "2 d"],
  [-5, "0 s"],
])("%p s ago: %s", (seconds, text) => {
  expect(ageOf("2026-01-01T00:00:00Z", Date.UTC(2026, 0, 1) + seconds * 1_000)).toBe(text);
});
