import { expect, test } from "bun:test";
import { readable } from "./log-lines.ts";
import { duration, listed, makeLive, paintFor, table } from "./terminal.ts";

const plain = paintFor({ isTTY: false });

function screen(isTTY: boolean) {
  let written = "";
  return {
    stream: { isTTY, columns: 40, write: (text: string | Uint8Array) => Boolean((written += text.toString())) },
    text: () => written,
  };
}

test("columns are as wide as what is in them, whatever its colour", () => {
  const coloured = "\u001b[32mready\u001b[39m";
  expect(
    Bun.stripANSI(
      table(
        ["service", "state", "URL"],
        [
          ["broker", coloured, "a"],
          ["b", "no answer", ""],
        ],
        plain,
      ),
    ),
  ).toBe(["service   state       URL", "broker    ready       a", "b         no answer"].join("\n"));
});

test.each([
  [40, "0.04 s"],
  [7_300, "7.3 s"],
  [125_000, "2 min 5 s"],
  [7_500_000, "2 h 5 min"],
])("%i ms reads %s", (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test("several things are listed as people do", () => {
  expect([listed([]), listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])]).toEqual([
    "",
    "a",
    "a and b",
    "a, b and c",
  ]);
});

test("without a terminal there is a line for each change, and no escape sequence", () => {
  const { stream, text } = screen(false);
  const live = makeLive(stream);
  live.doing("postgres", "starting");
  live.doing("postgres", "starting");
  live.done("postgres", "✔", "ready");
  live.line("by the way");
  live.close();
  expect(text()).toBe("  postgres   starting\n✔ postgres   ready\nby the way\n");
});

test("on a terminal the status is rewritten in place, and no line is wider than it", () => {
  const { stream, text } = screen(true);
  const live = makeLive(stream);
  live.doing("postgres", `creating ${"x".repeat(100)}`);
  live.line("by the way");
  live.done("postgres", "✔", "ready");
  live.close();
  live.close();
  expect(text()).toContain("\u001b[1A\u001b[J");
  for (const line of text().split("\n")) expect(Bun.stringWidth(line)).toBeLessThan(40);
  expect(Bun.stripANSI(text()).trimEnd()).toEndWith("✔ postgres   ready");
});

test("a log line is made readable; what is no JSON object stays as it is", () => {
  const line = JSON.stringify({
    time: "2026-11-23T12:00:03.120Z",
    level: "warn",
    service: "broker",
    message: "dependency down",
    dependency: "rabbitmq",
    reason: "nothing listens there",
  });
  expect(readable(line, plain)).toMatch(
    /^\d\d:\d\d:03\.120 warn {2}dependency down dependency=rabbitmq reason="nothing listens there"$/,
  );
  for (const other of ["plain text", "{half", "[1]", ""]) expect(readable(other, plain)).toBe(other);
});
